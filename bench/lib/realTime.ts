/**
 * Real-time priority for what is measured (SCHED_RR, sched(7)). Other work of the machine, also the kernel's own, takes
 * a core for up to 8 ms at a time from a process of normal priority, however nice that is (the scheduler looks every
 * 4 ms at CONFIG_HZ=250). A few of these a second are a hundredth of all requests: the p99 then says how often it
 * happened, and not what was measured.
 */
import { spawnSync } from 'node:child_process';

/** Runs `work`; processes that it starts inherit the priority. @returns also whether the system allowed it (root may). */
export async function atRealTimePriority<T>(
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly granted: boolean }> {
  const granted = schedule('--rr', 1);
  try {
    return { result: await work(), granted };
  } finally {
    if (granted) schedule('--other', 0);
  }
}

/** Of the main thread, which is the one that starts processes. */
function schedule(policy: '--rr' | '--other', priority: number): boolean {
  return spawnSync('chrt', [policy, '--pid', String(priority), String(process.pid)]).status === 0;
}
