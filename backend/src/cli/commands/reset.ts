/** `reset`: failures forgotten, quarantine ended. */
import { parseWords, type Command } from '../command.js';
import { findService } from '../services.js';

interface Cleared {
  readonly cleared: { readonly attempts: number; readonly quarantined: boolean };
}

export const reset: Command = {
  summary: "forget a service's failures and end its quarantine",
  usage: `Usage: npx holdfast reset SERVICE [--json]

Forgets the failures that were charged to the service and ends its quarantine: its missing instances are started again at
once. Do it after you mended what made them fail; \`npx holdfast explain SERVICE\` says what that was.

    npx holdfast reset my-api

  --json   the supervisor's own answer, for machines
  --help   this text`,
  toleratesMistakes: true,

  async run(args, { api, terminal }) {
    const { values, words } = parseWords(args, { json: { type: 'boolean', default: false } }, ['SERVICE']);
    const { name } = await findService(api, words[0] ?? '');
    const { data } = await api.post<Cleared>(`/api/ha/reset-failure/${encodeURIComponent(name)}`, {});
    if (values.json) terminal.json(data);
    else terminal.done(describe(name, data));
    return 0;
  },
};

function describe(name: string, { cleared: { attempts, quarantined } }: Cleared): string {
  if (attempts === 0 && !quarantined) return `${name} had no failures charged; nothing to forget.`;
  const failures = `${attempts} ${attempts === 1 ? 'failure is' : 'failures are'} forgotten`;
  return `${name}: ${failures}${quarantined ? '; it is no longer quarantined, and its instances are started again' : ''}.`;
}
