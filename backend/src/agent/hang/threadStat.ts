/**
 * What Linux says of this process' main thread and of its children: where it is when nobody can ask it. Small files of
 * /proc, read synchronously by the watching thread (20 µs each), and only while the main thread is silent. Elsewhere
 * than on Linux, or where /proc is hidden, everything is null or empty.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface ThreadStat {
  /** R running or wanting to, S asleep, D waiting for a device, T stopped, …; null: not known. */
  readonly state: string | null;
  /** On a CPU, since it started; null: not known. */
  readonly ranMs: number | null;
  /** Ready to run and waiting for a CPU, since it started; null: not known. */
  readonly queuedMs: number | null;
}

export interface ChildStat {
  readonly pid: number;
  /** Its command without arguments, at most 15 characters. */
  readonly name: string;
  readonly state: string;
}

/** Of thousands of children, as many are worth a sentence. */
const MAX_CHILDREN = 3;

/** The main thread of this process; callable from any of its threads. */
export function readMainThread(): ThreadStat {
  return readThread(`/proc/self/task/${process.pid}`);
}

/** The thread that calls. */
export function readOwnThread(): ThreadStat {
  return readThread('/proc/thread-self');
}

function readThread(task: string): ThreadStat {
  const schedstat = read(`${task}/schedstat`)?.split(' ');
  return {
    state: parseStat(read(`${task}/stat`))?.state ?? null,
    ranMs: nanosAsMs(schedstat?.[0]),
    queuedMs: nanosAsMs(schedstat?.[1]),
  };
}

/** Whether any thread of this process but the calling one runs or waits for a CPU. True where that can't be known. */
export function isAnyoneRunning(): boolean {
  try {
    const self = readlinkSync('/proc/thread-self').split('/').at(-1);
    return readdirSync('/proc/self/task')
      .filter((id) => id !== self)
      .some((id) => parseStat(read(`/proc/self/task/${id}/stat`))?.state === 'R');
  } catch {
    return true;
  }
}

/** Children that the main thread started, the latest first, at most three. */
export function readChildren(): readonly ChildStat[] {
  const pids = read(`/proc/self/task/${process.pid}/children`)?.trim().split(' ') ?? [];
  return pids
    .map(Number)
    .filter((pid) => pid > 0)
    .reverse()
    .slice(0, MAX_CHILDREN)
    .flatMap((pid) => {
      const stat = parseStat(read(`/proc/${pid}/stat`));
      return stat === null ? [] : [{ pid, ...stat }];
    });
}

/** `12 (name) S …`; the name may hold spaces and parentheses. */
function parseStat(text: string | null): { name: string; state: string } | null {
  const close = text?.lastIndexOf(')') ?? -1;
  if (text === null || close < 0) return null;
  return { name: text.slice(text.indexOf('(') + 1, close), state: text.slice(close + 2, close + 3) };
}

function nanosAsMs(text: string | undefined): number | null {
  const nanos = Number(text);
  return text === undefined || !Number.isFinite(nanos) ? null : nanos / 1e6;
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return null;
  }
}
