/**
 * How much of what was written on a TCP connection has not arrived at its other end, by the kernel's list of sockets
 * (/proc/net/tcp, proc_pid_net(5); Linux only). It is what shows that a slow reader goes on: a socket's own buffer in the
 * kernel holds megabytes, so for minutes nothing may move that a process sees.
 *
 * The list grows with the number of connections. So it is read at most four times a second, however many ask, and it is
 * searched as text.
 */
import { readFile } from 'node:fs/promises';

const TABLES = ['/proc/net/tcp', '/proc/net/tcp6'];
const FRESH_MS = 250;

let readAtMs = Number.NEGATIVE_INFINITY;
let tables: Promise<string> = Promise.resolve('');

/**
 * Bytes of all established connections between these ports; null where the system does not tell, or there is none.
 * Never rejects. @param nowMs monotonic.
 */
export async function unsentBytes(
  localPort: number,
  remotePort: number,
  nowMs: number,
): Promise<number | null> {
  if (nowMs - readAtMs >= FRESH_MS || nowMs < readAtMs) {
    readAtMs = nowMs;
    tables = Promise.all(TABLES.map((table) => readFile(table, 'latin1').catch(() => ''))).then((texts) =>
      texts.join(''),
    );
  }
  return unsentIn(await tables, localPort, remotePort);
}

/** `… local_address:port remote_address:port 01 tx_queue:rx_queue …`, all hexadecimal. */
export function unsentIn(text: string, localPort: number, remotePort: number): number | null {
  const local = `:${hexPort(localPort)} `;
  const remote = `:${hexPort(remotePort)} 01 `;
  let sum: number | null = null;
  for (let at = text.indexOf(remote); at !== -1; at = text.indexOf(remote, at + 1)) {
    const before = text.lastIndexOf(' ', at);
    if (!text.startsWith(local, before + 1 - local.length)) continue;
    sum = (sum ?? 0) + Number.parseInt(text.slice(at + remote.length, at + remote.length + 8), 16);
  }
  return sum;
}

function hexPort(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, '0');
}
