/** `release`: let a service go: it is shown and left alone. */
import type { Command } from '../command.js';
import { custodyCommand } from '../custody.js';

export const release: Command = {
  summary: 'let a service go: it is shown and left alone',
  usage: `Usage: npx holdfast release SERVICE [--json]

Its processes run on as they are. From then on Holdfast shows the service, and neither restarts, stops, replaces nor scales
it, until \`npx holdfast adopt\` takes it back; a restart of the supervisor does not change that. The gateway goes on
sending traffic to its instances. Its restart budget is forgotten.

    npx holdfast release my-api

  --json   the supervisor's own answer, for machines
  --help   this text`,
  toleratesMistakes: true,
  run: custodyCommand('release'),
};
