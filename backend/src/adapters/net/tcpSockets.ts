/** What listens on this machine, and how much of what was sent to it lies unread: out of the kernel's list of TCP sockets. */
import type { TcpSockets } from '../../ports.js';
import { tcpRows, type TcpRow } from './tcpTable.js';

const LISTEN = '0A';

/** The sockets as they are now; null where the system has no list of them. Never rejects. @param rows for tests. */
export async function tcpSockets(
  rows: () => Promise<readonly TcpRow[] | null> = () => tcpRows(),
): Promise<TcpSockets | null> {
  const all = await rows();
  if (all === null) return null;
  return {
    listeners: (port) =>
      new Set(
        all
          .filter(({ state, localPort }) => state === LISTEN && localPort === port)
          .map(({ inode }) => inode),
      ),
    unreadBytes: (localPort, remotePort) => {
      const [here, ...othersHere] = endsOf(all, localPort, remotePort);
      const [there, ...othersThere] = endsOf(all, remotePort, localPort);
      // With several addresses of this machine two connections may have these ports: then it is not known which is meant.
      const isKnown = othersHere.length === 0 && othersThere.length === 0;
      if (here === undefined || there === undefined || !isKnown) return null;
      return here.unsentBytes + there.unreadBytes;
    },
  };
}

function endsOf(rows: readonly TcpRow[], localPort: number, remotePort: number): readonly TcpRow[] {
  return rows.filter((row) => row.localPort === localPort && row.remotePort === remotePort);
}
