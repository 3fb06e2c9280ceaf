/** What PM2 keeps of our secrets: in its list, which it shows, and in the files that `pm2 save` writes. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from './adapters/clock.js';
import { guardDumps } from './adapters/pm2/dumpFiles.js';
import type { Config } from './config/load.js';
import { SECRETS } from './lib/secretFiles.js';
import type { Logger } from './ports.js';
import type { EventLog } from './services/events/eventLog.js';

/** Looks until the returned function is called. */
export function guardSecrets(
  { dataDir, pm2Home, secrets }: Config,
  events: EventLog,
  logger: Logger,
): () => void {
  const isUnderPm2 = process.env['pm_id'] !== undefined;
  const given = isUnderPm2 ? SECRETS.filter((name) => (process.env[name] ?? '') !== '') : [];
  if (given.length > 0) {
    const names = given.join(', ');
    logger.warn(
      `PM2 was given ${names} and shows it in its list; npm stop and npm start give it the path of a file`,
    );
  }
  return guardDumps({
    pm2Home,
    names: () => [...new Set([...SECRETS, ...keptIn(dataDir)])],
    secrets,
    clock: systemClock,
    onNarrowed: ({ file, mode, holds }) => events.emit('dump.narrowed', { file, mode, holds: [...holds] }),
    onProblem: (file, problem) =>
      logger.warn('a file of PM2 may be readable by others, and cannot be looked at', { file, problem }),
  });
}

/** Names of the secrets of this deployment's applications that are kept in files (backend/startedWith.cjs). */
function keptIn(dataDir: string): readonly string[] {
  return ['environment', 'dotenv'].flatMap((source) => {
    try {
      return readdirSync(join(dataDir, 'secrets', source)).filter((name) => /^\w+$/.test(name));
    } catch {
      return [];
    }
  });
}
