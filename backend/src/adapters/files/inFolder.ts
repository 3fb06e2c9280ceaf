/**
 * Reading where a disk may hang (NFS, a dead device). A call there never returns, and each such call keeps one of the few threads
 * that all files of the process share. So a reading that takes too long is given up, and while it hangs nothing else in that
 * folder is read.
 */
import { withTimeout } from '../../lib/deadline.js';

/** Folders in which a reading hangs. */
const stuck = new Set<string>();

/** What `read` gives. Rejects as it does, and when it takes longer than `patienceMs`, or another one in that folder still does. */
export async function inFolder<T>(folder: string, patienceMs: number, read: () => Promise<T>): Promise<T> {
  const notAnswered = (): Error => new Error(`the disk of ${folder} does not answer`);
  if (stuck.has(folder)) throw notAnswered();
  const reading = read();
  const isOver = (): void => void stuck.delete(folder);
  return withTimeout(reading, patienceMs, () => {
    stuck.add(folder);
    void reading.then(isOver, isOver);
    return notAnswered();
  });
}
