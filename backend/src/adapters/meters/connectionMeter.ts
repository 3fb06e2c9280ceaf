/**
 * The ConnectionMeter of ports.ts from /proc/net/tcp and tcp6 (Linux): the kernel's own list of connections, with how
 * many bytes lie unread in each. A connection that its process has not even accepted is among them.
 *
 * The kernel writes the list anew for every look: 2 µs for each connection of the machine, closed ones of the last minute
 * (TIME_WAIT) included, 15 ms for 7,000 of them. So it is asked only where the answer matters, and for no more than a
 * twentieth of the time: in between the last answer stands.
 */
import { readFile } from 'node:fs/promises';
import type { Clock, ConnectionMeter } from '../../ports.js';

const FILES = ['/proc/net/tcp', '/proc/net/tcp6'];
/** After a look, a pause of so many times its duration. */
const PAUSE_FACTOR = 20;
/** An answer that is older stands no longer. */
const STALE_MS = 10_000;
const ESTABLISHED = '01';
const NOTHING = '00000000';

/** @param read gives a file's text; rejects where there is none. */
export function createConnectionMeter(
  clock: Clock,
  read: (file: string) => Promise<string> = (file) => readFile(file, 'latin1'),
): ConnectionMeter {
  let nextMs = Number.NEGATIVE_INFINITY;
  let last: { readonly atMs: number; readonly unread: ReadonlyMap<number, number> | null } | null = null;
  return {
    async unread() {
      const startedMs = clock.nowMs();
      if (startedMs < nextMs) return last !== null && startedMs - last.atMs < STALE_MS ? last.unread : null;
      nextMs = Number.POSITIVE_INFINITY; // one look at a time
      const texts = await Promise.allSettled(FILES.map((file) => read(file)));
      const found = texts.flatMap((text) => (text.status === 'fulfilled' ? [text.value] : []));
      const unread = new Map<number, number>();
      for (const text of found) countUnread(text, unread);
      last = { atMs: startedMs, unread: found.length === 0 ? null : unread };
      nextMs = startedMs + (1 + PAUSE_FACTOR) * (clock.nowMs() - startedMs);
      return last.unread;
    },
  };
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
