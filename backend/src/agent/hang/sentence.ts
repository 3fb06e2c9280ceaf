/** One sentence for people about a silent main thread: where it is, as far as that can be known. Pure. */
import type { Crumb } from './crumb.js';
import type { ChildStat } from './threadStat.js';

export interface Circumstances {
  readonly silentMs: number;
  readonly where: 'javascript' | 'native' | 'unknown';
  /** Innermost first. */
  readonly stack: readonly string[];
  readonly crumb: Crumb | null;
  /** State of the main thread as Linux has it; null: not known. */
  readonly state: string | null;
  /** Share of a core that it used in its silence, 0 to 1; null: not known. */
  readonly cpuShare: number | null;
  readonly children: readonly ChildStat[];
  /** Heap used as a share of its limit, 0 to 1, before the silence. */
  readonly heapShare: number;
}

/** From here on, a process that burns CPU in native code is most likely collecting garbage. */
const HEAP_FULL = 0.9;

/** "blocked for 1.0 s in blockHere (/app/server.js:10:5)" */
export function sentence(circumstances: Circumstances): string {
  const { silentMs, stack } = circumstances;
  const blocked = `blocked for ${(silentMs / 1000).toFixed(1)} s`;
  if (circumstances.where === 'unknown' && circumstances.crumb === null)
    return `${blocked}; where is not known, because the machine is so busy that its main thread hardly ran`;
  const frame = ownFrame(stack);
  const what = nativeWork(circumstances);
  if (what === null) return frame === null ? `${blocked} in JavaScript` : `${blocked} in ${frame}`;
  if (frame === null) return `${blocked} ${what}`;
  // Without a breadcrumb, the stack is of the moment at which the native code let somebody in again.
  return `${blocked} ${what}, ${circumstances.crumb === null ? 'and came back in' : 'called by'} ${frame}`;
}

/** The innermost frame of the application; of Node's own where there is no other. */
function ownFrame(stack: readonly string[]): string | null {
  return stack.find((frame) => !/\(node:|\(:|^evalmachine/.test(frame)) ?? stack[0] ?? null;
}

/** null: it is JavaScript that runs. */
function nativeWork({ where, crumb, state, cpuShare, children, heapShare }: Circumstances): string | null {
  if (crumb !== null) return `waiting for ${crumb.what}`;
  if (where === 'javascript') return null;
  if (cpuShare !== null && cpuShare < 0.5) return `in a system call (${waiting(state, children)})`;
  const cpu = cpuShare === null ? '' : ` (${Math.round(cpuShare * 100)} % of a core)`;
  if (heapShare >= HEAP_FULL)
    return `in native code${cpu}, most likely collecting garbage: its heap is ${Math.floor(heapShare * 100)} % full`;
  return `in native code${cpu}, such as parsing, sorting or an addon`;
}

function waiting(state: string | null, children: readonly ChildStat[]): string {
  if (state === 'D') return 'waiting for a disk or a network file system';
  if (state === 'T' || state === 't') return 'stopped';
  const [child] = children;
  return child === undefined
    ? 'asleep'
    : `asleep; its latest child process is ${child.name}, pid ${child.pid}`;
}
