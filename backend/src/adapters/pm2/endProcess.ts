/** Ending one particular process, whatever it does about it. */
import { HoldfastError } from '../../domain/errors.js';
import { isSameProcessAlive, signalSameProcess, type ProcessIdentity } from '../../lib/processIdentity.js';

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
