/** What `release` and `adopt` have in common: one call that changes whether Holdfast takes care of a service. */
import type { CustodyView } from '../domain/views/controlPlane.js';
import { parseWords, type Command } from './command.js';
import { findService } from './services.js';

export function custodyCommand(verb: 'adopt' | 'release'): Command['run'] {
  return async (args, { api, terminal }) => {
    const { values, words } = parseWords(args, { json: { type: 'boolean', default: false } }, ['SERVICE']);
    const { name } = await findService(api, words[0] ?? '');
    const { data } = await api.post<CustodyView>(`/api/ha/${verb}/${encodeURIComponent(name)}`, {});
    if (values.json) terminal.json(data);
    else terminal.done(data.changed ? data.message : `It was so already: ${data.message}`);
    return 0;
  };
}
