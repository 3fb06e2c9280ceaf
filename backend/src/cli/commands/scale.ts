/** `scale`: how many instances a service shall have. */
import { parseWords, seconds, UsageError, type Command } from '../command.js';
import { operate } from '../operation.js';
import { findService } from '../services.js';

export const scale: Command = {
  summary: 'set the number of instances of a service: 4, +1 or -1',
  usage: `Usage: npx holdfast scale SERVICE COUNT [--timeout SECONDS] [--json]

COUNT is how many instances there shall be, or +1, -1, … for more or fewer than now. More are ready when they serve; fewer
are drained before they are stopped, so that no request is lost. The bounds of the service hold (minInstances,
maxInstances), the cooldown does not. Autoscaling goes on and may change the number again.

    npx holdfast scale my-api 3
    npx holdfast scale my-api +1

  --timeout SECONDS  how long to wait until it is done (default 60)
  --json             the supervisor's own answer, for machines
  --help             this text`,
  toleratesMistakes: true,

  async run(args, context) {
    const { values, words } = parseWords(
      args,
      { timeout: { type: 'string', default: '60' }, json: { type: 'boolean', default: false } },
      ['SERVICE', 'COUNT'],
    );
    const [serviceName = '', count = ''] = words;
    const timeoutMs = seconds('timeout', values.timeout) * 1_000;
    const change = readCount(count);
    const { desired } = await findService(context.api, serviceName);
    const target = change.relative ? desired + change.by : change.to;
    if (target === desired) {
      const text = `${serviceName} has ${desired} ${desired === 1 ? 'instance' : 'instances'} already; nothing to change.`;
      if (values.json) context.terminal.json(unchanged(serviceName, desired, text));
      else context.terminal.done(text);
      return 0;
    }
    return operate(context, {
      call: target > desired ? 'scale-up' : 'scale-down',
      body: { serviceName, targetInstances: target },
      timeoutMs,
      json: values.json,
      progress: `${serviceName}: from ${desired} to ${target} instances`,
    });
  },
};

type Count =
  { readonly relative: true; readonly by: number } | { readonly relative: false; readonly to: number };

/** @throws UsageError unless it is a whole number, with or without a sign. */
export function readCount(text: string): Count {
  if (/^[+-]\d{1,4}$/.test(text)) return { relative: true, by: Number(text) };
  if (/^\d{1,4}$/.test(text)) return { relative: false, to: Number(text) };
  throw new UsageError(`COUNT is "${text}"; it must be a whole number such as 4, or +1 or -1.`);
}

const unchanged = (serviceName: string, instances: number, message: string) => ({
  serviceName,
  changed: false,
  done: true,
  message,
  fromInstances: instances,
  toInstances: instances,
});
