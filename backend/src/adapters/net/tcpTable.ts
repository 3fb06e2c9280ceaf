/** The kernel's list of TCP sockets: /proc/net/tcp and tcp6 (proc_pid_net(5)). Linux only. */
import { readFile } from 'node:fs/promises';

export const TCP_TABLES = ['/proc/net/tcp', '/proc/net/tcp6'];

export interface TcpRow {
  /** As the kernel writes it: words of four bytes in the machine's order. */
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Two hexadecimal digits: 01 established, 0A listening, … */
  readonly state: string;
  /** Sent by its process, and not yet at the other end. */
  readonly unsentBytes: number;
  /** Arrived, and not yet read by its process. */
  readonly unreadBytes: number;
  readonly userId: number;
  /** "0": no process holds it (any more). */
  readonly inode: string;
}

/** All sockets of this machine (of this network namespace); null where there is no /proc/net. Never rejects. @param read for tests. */
export async function tcpRows(
  read: (file: string) => Promise<string> = (file) => readFile(file, 'latin1'),
): Promise<readonly TcpRow[] | null> {
  const texts = await Promise.all(TCP_TABLES.map((table) => read(table).catch(() => null)));
  if (texts.every((text) => text === null)) return null;
  return texts.flatMap((text) => (text ?? '').split('\n').slice(1).flatMap(parseTcpRow));
}

/** None of a line that is no row. `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …` */
export function parseTcpRow(line: string): TcpRow[] {
  const [, local = '', remote = '', state = '', queues = '', , , userId, , inode] = line.trim().split(/\s+/);
  if (inode === undefined) return [];
  const [localAddress = '', localPort = ''] = local.split(':');
  const [remoteAddress = '', remotePort = ''] = remote.split(':');
  const [unsent = '', unread = ''] = queues.split(':');
  return [
    {
      localAddress,
      localPort: Number.parseInt(localPort, 16),
      remoteAddress,
      remotePort: Number.parseInt(remotePort, 16),
      state,
      unsentBytes: Number.parseInt(unsent, 16),
      unreadBytes: Number.parseInt(unread, 16),
      userId: Number(userId),
      inode,
    },
  ];
}
