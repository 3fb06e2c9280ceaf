/** `stop-ha`: the supervisor goes on watching, and changes nothing any more. */
import { parse, type Command } from '../command.js';
import { holdfast } from '../invocation.js';

export const stopHa: Command = {
  summary: 'turn automatic management off; everything goes on running',
  usage: `Usage: npx holdfast stop-ha

Turns automatic management off: the supervisor goes on watching, but replaces and scales nothing by itself, also after a
restart. Services, gateway and the commands that you give go on working. \`npx holdfast start-ha\` turns it on again;
\`npx holdfast down\` stops everything.

    npx holdfast stop-ha

  --help   this text`,
  toleratesMistakes: true,

  async run(args, context) {
    parse(args, {});
    const { data } = await context.api.post<{ changed: boolean }>('/api/ha/stop', {});
    context.terminal.done(
      data.changed ? 'Automatic management is off now.' : 'Automatic management was off already.',
    );
    context.terminal.line(`Turn it on again: ${holdfast(context, 'start-ha')}`);
    return 0;
  },
};
