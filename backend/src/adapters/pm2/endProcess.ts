/** Ending one particular process, whatever it does about it. */
import { HoldfastError } from '../../domain/errors.js';
import {
  identify,
  isSameProcessAlive,
  signalSameProcess,
  type ProcessIdentity,
} from '../../lib/processIdentity.js';
import type { Clock, EndOptions, Logger } from '../../ports.js';
import { stillThere } from './instanceErrors.js';
import { killTimeoutOf, type ProcessRow } from './processRow.js';

/**
 * SIGINT, then SIGKILL after `killTimeoutMs`, each only while pid and start time still name the same process.
 * @returns false when that process was gone before the first signal; true once it is gone after it.
 * Throws when it outlives SIGKILL by five seconds (it hangs in the kernel).
 */
export async function endProcess(
  { pid, pidStartTicks }: { readonly pid: number; readonly pidStartTicks: number | null },
  killTimeoutMs: number,
): Promise<boolean> {
  const identity = { pid, startTicks: pidStartTicks };
  if (!signalSameProcess(identity, 'SIGINT')) return false;
  if (await goneWithin(identity, killTimeoutMs)) return true;
  signalSameProcess(identity, 'SIGKILL');
  if (await goneWithin(identity, 5_000)) return true;
  throw new HoldfastError('process.unkillable', `Process ${pid} is still there 5 s after SIGKILL.`, {
    status: 503,
    retryable: true,
  });
}

/** Whether a process is gone by then. */
export async function goneWithin(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadlineMs = performance.now() + timeoutMs;
  while (isSameProcessAlive(identity)) {
    if (performance.now() >= deadlineMs) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}

/**
 * Has PM2 end a process that it lists, and makes sure that the process is really gone.
 * @param ask calls PM2, with the time-out that this may take.
 */
export async function endListed(
  row: ProcessRow,
  ask: (timeoutMs: number) => Promise<unknown>,
  {
    killAfterMs,
    callTimeoutMs,
    clock,
    logger,
  }: EndOptions & { readonly callTimeoutMs: number; readonly clock: Clock; readonly logger: Logger },
): Promise<void> {
  const { pid, pmId } = row.process;
  const identity = pid === null ? null : identify(pid);
  // Not before PM2 has been asked: an end that it does not expect it would answer with a restart.
  const cancelKill =
    identity === null || killAfterMs === undefined
      ? () => undefined
      : clock.after(killAfterMs, () => void signalSameProcess(identity, 'SIGKILL'));
  try {
    // PM2 waits that long for SIGINT and again for SIGKILL to work.
    await ask(2 * killTimeoutOf(row.record) + callTimeoutMs);
  } finally {
    cancelKill();
  }
  if (identity === null || (await goneWithin(identity, 100))) return;
  logger.warn('PM2 said a process had ended and it had not: killing it', { pid, pmId });
  signalSameProcess(identity, 'SIGKILL');
  if (!(await goneWithin(identity, 5_000))) throw stillThere(row.process, 'alive after SIGKILL');
}
