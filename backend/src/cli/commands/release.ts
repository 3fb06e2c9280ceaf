/** `release`: let a service go: it is shown and left alone. */
import type { CustodyView } from '../../domain/views.js';
import { parseWords, type Command } from '../command.js';
import { findService } from '../services.js';

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

  async run(args, { api, terminal }) {
    const { values, words } = parseWords(args, { json: { type: 'boolean', default: false } }, ['SERVICE']);
    const { name } = await findService(api, words[0] ?? '');
    const { data } = await api.post<CustodyView>(`/api/ha/release/${encodeURIComponent(name)}`, {});
    if (values.json) terminal.line(JSON.stringify(data, null, 2));
    else terminal.done(data.changed ? data.message : `It was so already: ${data.message}`);
    return 0;
  },
};
