/**
 * Looking at files of applications, whose disk may hang (NFS, FUSE, a dead device). A call there never returns, and each such call
 * keeps one of the few threads that all files of the process share. So what takes too long is given up, while it hangs nothing
 * else in that folder is begun, and no more than MOST_AT_ONCE of these threads are taken, whatever hangs.
 */
import { withTimeout } from '../../lib/deadline.js';

/** Node has four threads. */
const MOST_AT_ONCE = 2;

/** The disk has not answered: nothing is known of what lies there. */
export class DiskHangs extends Error {
  constructor(folders: readonly string[]) {
    super(`the disk of ${folders.join(' and ')} does not answer`);
  }
}

/** Folders in which something hangs. */
const stuck = new Set<string>();
let underWay = 0;
const waiting: (() => void)[] = [];

/**
 * What `work` gives. Rejects as it does, and with `DiskHangs` when it takes longer than `patienceMs`, another one in that folder
 * still does, or as many as may are stuck elsewhere. What is given up while it waits for its turn is never begun.
 */
export async function inFolder<T>(folder: string, patienceMs: number, work: () => Promise<T>): Promise<T> {
  if (stuck.has(folder)) throw new DiskHangs([folder]);
  if (stuck.size >= MOST_AT_ONCE) throw new DiskHangs([...stuck]);
  let state: 'waiting' | 'begun' | 'given up' = 'waiting';
  const done = inTurn(() => {
    if (state === 'given up') throw new DiskHangs([folder]);
    state = 'begun';
    return work();
  });
  return withTimeout(done, patienceMs, () => {
    if (state === 'begun') {
      stuck.add(folder);
      const isOver = (): void => void stuck.delete(folder);
      void done.then(isOver, isOver);
    }
    const isOwnFault = state === 'begun';
    state = 'given up';
    return new DiskHangs(isOwnFault || stuck.size === 0 ? [folder] : [...stuck]);
  });
}

async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (underWay < MOST_AT_ONCE) underWay += 1;
  else await new Promise<void>((resolve) => waiting.push(resolve));
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next === undefined) underWay -= 1;
    else next();
  }
}
