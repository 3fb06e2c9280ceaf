/** Waiting for a deployment: what `up`, `start-ha` and `deploy` share. */
import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { HoldfastError, messageOf } from '../domain/errors.js';
import type { CliContext } from './context.js';
import { readEcosystem, SUPERVISOR_NAME } from './ecosystemFile.js';
import type { Pm2App } from './pm2Command.js';

const POLL_MS = 250;
/** A supervisor that PM2 restarted this often within the wait will not come up. */
const HOPELESS_RESTARTS = 3;
const LOG_TAIL_LINES = 15;
const LOG_TAIL_BYTES = 16_384;

/** Waits until the API answers. @throws HoldfastError `supervisor.not-starting` with the end of its error log. */
export async function awaitSupervisor(context: CliContext, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  const restartsBefore = (await supervisorRow(context))?.restarts ?? 0;
  for (let round = 0; ; round += 1) {
    if (await context.api.isUp()) return;
    // PM2's list costs a process: every two seconds is enough.
    const row = round % 8 === 7 ? await supervisorRow(context) : undefined;
    // "stopped" is what PM2 makes of an exit that says that restarting won't help.
    const hasLeft = row?.status === 'stopped';
    const isLooping =
      row !== undefined && (row.status === 'errored' || row.restarts - restartsBefore >= HOPELESS_RESTARTS);
    if (hasLeft || isLooping || performance.now() > deadline) {
      const problem = hasLeft
        ? 'has left'
        : isLooping
          ? 'exits again and again'
          : `does not answer within ${timeoutMs / 1_000} s`;
      throw new HoldfastError(
        'supervisor.not-starting',
        `The supervisor ${problem} (${context.api.url}).\n${await supervisorLog(context)}`,
      );
    }
    context.terminal.progress(`waiting for the supervisor at ${context.api.url}`);
    await pause(POLL_MS);
  }
}

async function supervisorRow(context: CliContext): Promise<Pm2App | undefined> {
  return (await context.pm2.list()).find(({ name }) => name === SUPERVISOR_NAME);
}

/** The end of what the supervisor wrote on stderr, or where to look. */
async function supervisorLog(context: CliContext): Promise<string> {
  const file =
    readEcosystem(context.config.ecosystemFile).find(({ name }) => name === SUPERVISOR_NAME)?.errorFile ??
    null;
  const tail = file === null ? '' : await tailOf(file);
  if (tail === '')
    return `Look into ${context.config.logDir}/ha-supervisor.log and \`pm2 logs ${SUPERVISOR_NAME}\`.`;
  return `The end of ${file ?? ''}:\n\n${tail}`;
}

async function tailOf(file: string): Promise<string> {
  if (!existsSync(file)) return '';
  try {
    const handle = await open(file, 'r');
    try {
      const { size } = await handle.stat();
      const length = Math.min(size, LOG_TAIL_BYTES);
      const { buffer } = await handle.read(Buffer.alloc(length), 0, length, size - length);
      return buffer.toString('utf8').trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
    } finally {
      await handle.close();
    }
  } catch (error) {
    return `(${messageOf(error)})`;
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
