/**
 * A client that connects to a port of its own machine on which nothing listens can meet itself: when that port lies in
 * the range that clients are given theirs from (ip_local_port_range), the kernel may choose the very port for the
 * client's end, and a connection from both ends at once is a valid one (RFC 9293 section 3.5, simultaneous open). It
 * looks like a server that echoes, and keeps the real one from listening there. Such a connection is refused.
 */
import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';

/** Whether both ends of the connection are the same. */
export function isSelf(
  socket: Pick<Socket, 'localPort' | 'remotePort' | 'localAddress' | 'remoteAddress'>,
): boolean {
  const { localPort, remotePort, localAddress, remoteAddress } = socket;
  return localPort !== undefined && localPort === remotePort && localAddress === remoteAddress;
}

/** As the system reports that nothing listens there. */
export function refusedBySelf({ remoteAddress = '', remotePort = 0 }: Socket): NodeJS.ErrnoException {
  const message = `connect ECONNREFUSED ${remoteAddress}:${remotePort}`;
  return Object.assign(new Error(message), { code: 'ECONNREFUSED', syscall: 'connect' });
}

let guarded = false;

/** From now on every connection that this process opens with `net.connect`, HTTP requests included, is looked at. */
export function refuseSelfConnections(): void {
  if (guarded) return;
  guarded = true;
  subscribe('net.client.socket', (message) => {
    const { socket } = message as { socket: Socket };
    socket.prependOnceListener('connect', () => {
      if (isSelf(socket)) socket.destroy(refusedBySelf(socket));
    });
  });
}
