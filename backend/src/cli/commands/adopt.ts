/** `adopt`: take a released service back. */
import type { Command } from '../command.js';
import { custodyCommand } from '../custody.js';

export const adopt: Command = {
  summary: 'take a released service back',
  usage: `Usage: npx holdfast adopt SERVICE [--json]

Holdfast takes care of it again; as many instances as run then are wanted from now on.

    npx holdfast adopt my-api

  --json   the supervisor's own answer, for machines
  --help   this text`,
  toleratesMistakes: true,
  run: custodyCommand('adopt'),
};
