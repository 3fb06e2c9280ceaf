/** `failover`: every instance of a service anew. */
import { parseWords, seconds, type Command } from '../command.js';
import { operate } from '../operation.js';
import { findService } from '../services.js';

export const failover: Command = {
  summary: 'replace every instance of a service, one at a time, without losing a request',
  usage: `Usage: npx holdfast failover SERVICE [--reason TEXT] [--timeout SECONDS] [--json]

Replaces every instance of the service, one at a time: the new one is healthy before the old one leaves. The same
program is started again; for a new build there is \`npx holdfast deploy SERVICE\`, which tries one instance first.

    npx holdfast failover my-api --reason "looks slow since noon"

  --reason TEXT      kept with the events
  --timeout SECONDS  how long to wait until it is done (default 300)
  --json             the supervisor's own answer, for machines
  --help             this text`,
  toleratesMistakes: true,

  async run(args, context) {
    const { values, words } = parseWords(
      args,
      {
        reason: { type: 'string' },
        timeout: { type: 'string', default: '300' },
        json: { type: 'boolean', default: false },
      },
      ['SERVICE'],
    );
    const timeoutMs = seconds('timeout', values.timeout) * 1_000;
    const { name, instances } = await findService(context.api, words[0] ?? '');
    return operate(context, {
      call: 'failover',
      body: { serviceName: name, ...(values.reason === undefined ? {} : { reason: values.reason }) },
      timeoutMs,
      json: values.json,
      progress: `${name}: replacing ${instances.length} of ${instances.length} instances, one at a time`,
    });
  },
};
