/**
 * Which user of this machine holds the other end of a local connection: the kernel's list of TCP sockets says it
 * (/proc/net/tcp and tcp6; Linux). Asked before a call without a token may change anything: loopback says only that the
 * caller is on this machine, and other users, and proxies that pass on what comes from outside, are there, too.
 */
import { tcpRows } from './tcpTable.js';

const ESTABLISHED = '01';

/** The ports of one connection, seen from here. */
export interface LocalConnection {
  readonly localPort: number;
  readonly remotePort: number;
}

/**
 * @returns its user id; null where it is not known: not a loopback connection, not open any more on the other side, or
 *   no /proc. Never rejects. @param read for tests.
 */
export async function peerUserId(
  { localPort, remotePort }: LocalConnection,
  read?: (file: string) => Promise<string>,
): Promise<number | null> {
  const found = new Set<number>();
  for (const row of (await tcpRows(read)) ?? []) {
    // A socket that its process has closed lives on for a while, owned by no process: with user id 0 and without an inode.
    if (row.state !== ESTABLISHED || row.inode === '0') continue;
    if (row.localPort !== remotePort || row.remotePort !== localPort) continue;
    if (isLoopback(row.localAddress) && isLoopback(row.remoteAddress)) found.add(row.userId);
  }
  // Several loopback addresses may have a connection with these two ports; then it is not known whose this one is.
  const [uid] = found;
  return found.size === 1 && uid !== undefined && Number.isSafeInteger(uid) ? uid : null;
}

/** As the kernel writes it, in words of four bytes in the machine's order, which is little-endian where we run. */
function isLoopback(host: string): boolean {
  return /^(0{16}FFFF0000)?[0-9A-F]{6}7F$/.test(host) || host === '00000000000000000000000001000000';
}
