/**
 * The ConnectionMeter of ports.ts from /proc/net/tcp and tcp6 (Linux): the kernel's own list of connections, with how
 * many bytes lie unread in each. A connection that its process has not even accepted is among them.
 *
 * The kernel writes the list anew for every look: 2 µs for each connection of the machine, closed ones of the last minute
 * (TIME_WAIT) included, 15 ms for 7,000 of them. So it is asked only where the answer matters, and for no more than a
 * twentieth of the time: in between the last answer stands. That time is told from the length of the list and not from
 * the clock, because on a machine that is too busy a look lasts long, and that is when the answer matters most; nor is
 * anybody kept waiting for it then.
 */
import { readFile } from 'node:fs/promises';
import type { Clock, ConnectionMeter } from '../../ports.js';

const FILES = ['/proc/net/tcp', '/proc/net/tcp6'];
/** Of the list, in a millisecond of CPU: 150 bytes a connection. */
const BYTES_PER_MS = 70_000;
/** After a look, a pause of so many times what it has cost. */
const PAUSE_FACTOR = 20;
/** An answer that is older stands no longer. */
const STALE_MS = 10_000;
/** Nobody waits longer for a look: it is for the next one to use. */
const LONGEST_WAIT_MS = 100;
const ESTABLISHED = '01';
const NOTHING = '00000000';

/** @param read gives a file's text; rejects where there is none. */
export function createConnectionMeter(
  clock: Clock,
  read: (file: string) => Promise<string> = (file) => readFile(file, 'latin1'),
): ConnectionMeter {
  let last: { readonly atMs: number; readonly unread: ReadonlyMap<number, number> | null } | null = null;
  let underWay: Promise<void> | null = null;
  let nextMs = Number.NEGATIVE_INFINITY;

  const look = async (): Promise<void> => {
    const atMs = clock.nowMs();
    const texts = await Promise.allSettled(FILES.map((file) => read(file)));
    const found = texts.flatMap((text) => (text.status === 'fulfilled' ? [text.value] : []));
    const unread = new Map<number, number>();
    for (const text of found) countUnread(text, unread);
    const bytes = found.reduce((sum, text) => sum + text.length, 0);
    last = { atMs, unread: found.length === 0 ? null : unread };
    nextMs = clock.nowMs() + (PAUSE_FACTOR * bytes) / BYTES_PER_MS;
    underWay = null;
  };

  return {
    async unread() {
      if (underWay === null && clock.nowMs() >= nextMs) underWay = look();
      if (underWay !== null) await firstOf(underWay, clock, LONGEST_WAIT_MS);
      return last !== null && clock.nowMs() - last.atMs < STALE_MS ? last.unread : null;
    },
  };
}

/** Ends when `work` has, or after so long. */
async function firstOf(work: Promise<void>, clock: Clock, longestMs: number): Promise<void> {
  let cancel = (): void => undefined;
  const deadline = new Promise<void>((resolve) => {
    cancel = clock.after(longestMs, resolve);
  });
  await Promise.race([work, deadline]);
  cancel();
}

/**
 * Adds what one of the files says. A line (proc_pid_net(5), addresses and numbers in hex):
 * `   0: 0100007F:3E83 0100007F:D2F0 01 00000000:0000004F …`: number, local, remote, state, unsent and unread bytes.
 */
function countUnread(text: string, unread: Map<number, number>): void {
  let start = text.indexOf('\n') + 1;
  while (start > 0 && start < text.length) {
    const next = text.indexOf('\n', start) + 1 || text.length;
    const portAt = text.indexOf(':', text.indexOf(':', start) + 1) + 1;
    const stateAt = text.indexOf(' ', portAt + 5) + 1;
    const bytesAt = stateAt + 12;
    if (text.startsWith(ESTABLISHED, stateAt) && bytesAt + 8 < next && !text.startsWith(NOTHING, bytesAt)) {
      const port = Number.parseInt(text.slice(portAt, portAt + 4), 16);
      unread.set(port, (unread.get(port) ?? 0) + 1);
    }
    start = next;
  }
}
