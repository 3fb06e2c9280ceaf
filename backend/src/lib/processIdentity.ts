/**
 * Who a pid really is. A pid alone is reused by the kernel; together with the start time of its process (clock
 * ticks since boot, field 22 of /proc/pid/stat) it names one process for good. Where there is no /proc (macOS,
 * Windows) the start time is null and only the pid is looked at.
 */
import { readFileSync } from 'node:fs';

export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: number | null;
}

export interface ProcStat {
  readonly parentPid: number;
  /** Equals the pid when the process leads its own session (was started detached). */
  readonly sessionId: number;
  readonly startTicks: number;
}

/** A live process's row in /proc, or null: no such process, a zombie, or no /proc. */
export function readProcStat(pid: number): ProcStat | null {
  let line: string;
  try {
    line = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return null;
  }
  // The second field is the name in parentheses and may hold anything, also spaces and parentheses.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return null;
  return {
    parentPid: Number(fields[1]),
    sessionId: Number(fields[3]),
    startTicks: Number(fields[19]),
  };
}

/** The identity of the live process `pid`. */
export function identify(pid: number): ProcessIdentity {
  return { pid, startTicks: readProcStat(pid)?.startTicks ?? null };
}

/** Whether that very process still lives (a zombie does not). */
export function isSameProcessAlive({ pid, startTicks }: ProcessIdentity): boolean {
  const stat = readProcStat(pid);
  if (stat !== null) return startTicks === null || stat.startTicks === startTicks;
  if (process.platform === 'linux') return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Sends `signal` to that very process; false when it is gone (or its pid belongs to another one by now). */
export function signalSameProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isSameProcessAlive(identity)) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch {
    return false;
  }
}
