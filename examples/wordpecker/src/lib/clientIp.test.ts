import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { clientIp, comesFromLoopback, isLoopback } from './clientIp.js';

function request(remoteAddress: string | undefined, forwardedFor?: string): IncomingMessage {
  const headers = forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor };
  return { socket: { remoteAddress }, headers } as unknown as IncomingMessage;
}

describe('client addresses', () => {
  it.each([
    ['127.0.0.1', true],
    ['127.8.9.1', true],
    ['::1', true],
    ['::ffff:127.0.0.1', true],
    ['::ffff:10.0.0.1', false],
    ['10.0.0.1', false],
    ['127.0.0.1.evil.example', false],
    ['', false],
    [undefined, false],
  ])('isLoopback(%s) is %s', (address, expected) => {
    expect(isLoopback(address)).toBe(expected);
  });

  it.each([
    // peer, X-Forwarded-For, client
    ['127.0.0.1', undefined, '127.0.0.1'],
    ['::ffff:127.0.0.1', undefined, '127.0.0.1'],
    ['::ffff:192.0.2.7', undefined, '192.0.2.7'],
    ['192.0.2.7', '127.0.0.1', '192.0.2.7'], // a stranger's claim
    ['127.0.0.1', '198.51.100.1', '198.51.100.1'],
    ['127.0.0.1', '6.6.6.6, 198.51.100.1', '198.51.100.1'], // left of the last stranger is hearsay
    ['127.0.0.1', '198.51.100.1, 127.0.0.1', '198.51.100.1'],
    ['::1', '127.0.0.1, ::1', '127.0.0.1'],
    ['::1', ' , ', '::1'],
    [undefined, undefined, 'unknown'],
  ])('peer %s saying %s is %s', (peer, forwarded, expected) => {
    expect(clientIp(request(peer, forwarded))).toBe(expected);
  });

  it.each([
    ['127.0.0.1', undefined, true],
    ['127.0.0.1', '127.0.0.1, ::1', true],
    ['127.0.0.1', '192.0.2.7', false], // a local proxy's remote client
    ['127.0.0.1', '192.0.2.7, 127.0.0.1', false],
    ['192.0.2.7', '127.0.0.1', false],
    ['127.0.0.1', 'unknown', false],
  ])('comesFromLoopback with peer %s and %s is %s', (peer, forwarded, expected) => {
    expect(comesFromLoopback(request(peer, forwarded))).toBe(expected);
  });
});
