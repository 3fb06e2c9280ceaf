import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startService, type ServiceDefinition } from '../service.js';
import { recordingLog } from './recordingLog.js';

/** A service inside the test's process, on a free port, with a database file of its own. */
export async function startInProcess(
  definition: ServiceDefinition,
  env: Readonly<Record<string, string>> = {},
) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'holdfast-sample-'));
  const defaults = {
    PORT: '0',
    SESSION_SECRET: 'a secret for tests only',
    WORDPECKER_DB: path.join(folder, 'words.db'),
  };
  const log = recordingLog();
  const service = await startService(definition, { ...defaults, ...env }, log);
  return {
    url: `http://127.0.0.1:${service.address.port}`,
    port: service.address.port,
    log,
    async stop(): Promise<void> {
      await service.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
