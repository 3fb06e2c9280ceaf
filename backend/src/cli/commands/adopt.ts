/** `adopt`: take a released service back. */
import type { CustodyView } from '../../domain/views.js';
import { parseWords, type Command } from '../command.js';
import { findService } from '../services.js';

export const adopt: Command = {
  summary: 'take a released service back',
  usage: `Usage: npx holdfast adopt SERVICE [--json]

Holdfast takes care of it again; as many instances as run then are wanted from now on.

    npx holdfast adopt my-api

  --json   the supervisor's own answer, for machines
  --help   this text`,
  toleratesMistakes: true,

  async run(args, { api, terminal }) {
    const { values, words } = parseWords(args, { json: { type: 'boolean', default: false } }, ['SERVICE']);
    const { name } = await findService(api, words[0] ?? '');
    const { data } = await api.post<CustodyView>(`/api/ha/adopt/${encodeURIComponent(name)}`, {});
    if (values.json) terminal.line(JSON.stringify(data, null, 2));
    else terminal.done(data.changed ? data.message : `It was so already: ${data.message}`);
    return 0;
  },
};
