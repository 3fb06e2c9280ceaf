/**
 * What a start needs on the disk of the application. PM2's daemon starts a process within its own event loop: a disk that hangs
 * would hold up all that it runs. So nothing is started from one.
 */
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DiskHangs, inFolder } from '../files/inFolder.js';
import type { AppDefinition } from './appDefinition.js';
import { startFailed } from './instanceErrors.js';

/** How long the disk may take. */
const PATIENCE_MS = 3_000;

/** Makes the folders that are missing. Rejects with `pm2.instance-failed` where nothing can be started. */
export async function prepareFiles({
  name,
  script,
  cwd,
  outFile,
  errorFile,
  pidFile,
}: AppDefinition): Promise<void> {
  const look = (path: string): Promise<unknown> =>
    inFolder(dirname(path), PATIENCE_MS, () => stat(path)).catch((error: unknown) => {
      if (error instanceof DiskHangs) throw error;
      return null;
    });
  await look(cwd);
  if ((await look(script)) === null)
    throw startFailed(name, `${script} does not exist; if it is built, build it first`);
  for (const folder of new Set([outFile, errorFile, pidFile].map(dirname)))
    await inFolder(folder, PATIENCE_MS, () => mkdir(folder, { recursive: true }));
}
