import type { IncomingMessage } from 'node:http';

/** True for 127.0.0.0/8 and ::1, also when IPv4 comes mapped into IPv6. */
export function isLoopback(address: string | undefined): boolean {
  if (address === undefined) return false;
  const plain = plainAddress(address);
  return plain === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(plain);
}

/**
 * The client's address. `X-Forwarded-For` is believed only as far as loopback peers wrote it: read from right
 * to left, the first address that is not loopback is the client, and what stands left of it is hearsay.
 */
export function clientIp(request: IncomingMessage): string {
  const peer = request.socket.remoteAddress;
  if (peer === undefined) return 'unknown';
  if (!isLoopback(peer)) return plainAddress(peer);
  const forwarded = forwardedFor(request);
  for (const address of forwarded.toReversed()) if (!isLoopback(address)) return plainAddress(address);
  return plainAddress(forwarded[0] ?? peer);
}

/** True when the peer is on this machine and, if a proxy brought the request, so is the proxy's client. */
export function comesFromLoopback(request: IncomingMessage): boolean {
  return isLoopback(request.socket.remoteAddress) && forwardedFor(request).every(isLoopback);
}

/** The addresses in `X-Forwarded-For`, leftmost first, as they are. */
export function forwardedFor(request: IncomingMessage): string[] {
  const header = request.headers['x-forwarded-for'];
  const text = Array.isArray(header) ? header.join(',') : (header ?? '');
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');
}
