/** CPU time and memory of other processes, from /proc (Linux). */
import { readFileSync } from 'node:fs';
import { rounded } from './statistics.js';
import { pause } from './time.js';

/** Unit of times in /proc, the same on every Linux of today (`getconf CLK_TCK`). */
const TICKS_PER_SECOND = 100;

/** User and system time of a process and of the children it has waited for, ms, to 10 ms. */
export function cpuTimeMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // Fields after the name, which may hold spaces: 11–14 are utime, stime, cutime, cstime (proc_pid_stat(5)).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return (ticks * 1000) / TICKS_PER_SECOND;
}

export function residentBytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  if (kilobytes === undefined) throw new Error(`process ${pid} has no memory: it is ending`);
  return Number(kilobytes) * 1024;
}

export interface Usage {
  /** Of one core, over the whole time. */
  readonly cpuPercent: number;
  /** The largest of the samples, one a second. */
  readonly memoryBytes: number;
}

/** Watches processes at the same time for `durationMs`. Throws when one of them ends meanwhile. */
export async function measureUsage(pids: readonly number[], durationMs: number): Promise<Usage[]> {
  const beganMs = performance.now();
  const cpuBeforeMs = pids.map(cpuTimeMs);
  const memoryBytes = pids.map(residentBytes);
  while (performance.now() - beganMs < durationMs) {
    await pause(Math.min(1_000, Math.max(1, durationMs - (performance.now() - beganMs))));
    for (const [index, pid] of pids.entries()) {
      memoryBytes[index] = Math.max(memoryBytes[index] ?? 0, residentBytes(pid));
    }
  }
  const elapsedMs = performance.now() - beganMs;
  return pids.map((pid, index) => ({
    cpuPercent: rounded((100 * (cpuTimeMs(pid) - (cpuBeforeMs[index] ?? 0))) / elapsedMs, 3),
    memoryBytes: memoryBytes[index] ?? 0,
  }));
}
