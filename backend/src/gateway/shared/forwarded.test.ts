import { describe, expect, it } from 'vitest';
import { Peer, TrustedPeers } from './forwarded.js';
import { RequestHead } from '../http1/requestHead.js';

const trust = new TrustedPeers(['10.0.0.0/8', '127.0.0.1', 'fd00::/8', '::1']);

function headWith(fields: Partial<RequestHead>): RequestHead {
  return Object.assign(new RequestHead(), fields);
}

describe('who is trusted', () => {
  it.each([
    ['10.1.2.3', true],
    ['::ffff:10.1.2.3', true],
    ['127.0.0.1', true],
    ['::1', true],
    ['fd12::3', true],
    ['11.0.0.1', false],
    ['fe80::1', false],
    ['not an address', false],
  ])('%s: %s', (address, trusted) => {
    expect(new Peer(address, false, trust).trusted).toBe(trusted);
  });

  it.each(['x', '10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/8/8', '10.0.0.0/-1', '10.0.0.0/1e1'])(
    'cannot be said as %j',
    (range) => {
      expect(() => new TrustedPeers([range])).toThrow(RangeError);
    },
  );
});

describe('the client', () => {
  it.each([
    ['203.0.113.9', null, '203.0.113.9'],
    ['203.0.113.9', '1.2.3.4', '203.0.113.9'],
    ['10.0.0.1', null, '10.0.0.1'],
    ['10.0.0.1', '1.2.3.4', '1.2.3.4'],
    ['10.0.0.1', '6.6.6.6, 1.2.3.4, 10.9.9.9', '1.2.3.4'],
    ['10.0.0.1', '10.3.3.3,10.9.9.9', '10.3.3.3'],
    ['10.0.0.1', '1.2.3.4:5678', '1.2.3.4'],
    ['10.0.0.1', '[2001:db8::1]:443', '2001:db8::1'],
    ['10.0.0.1', '2001:db8::1', '2001:db8::1'],
    ['10.0.0.1', '::ffff:1.2.3.4', '1.2.3.4'],
    ['10.0.0.1', '1.2.3.4, unknown', '10.0.0.1'],
    ['10.0.0.1', '1.2.3.4, _hidden, 10.2.2.2', '10.2.2.2'],
    ['10.0.0.1', '', '10.0.0.1'],
  ])('behind %s that says %j is %s', (peer, forwardedFor, client) => {
    expect(new Peer(peer, false, trust).clientAddress(headWith({ forwardedFor }))).toBe(client);
  });

  it('came through TLS when this socket or a trusted proxy says so', () => {
    const https = headWith({ forwardedProto: 'HTTPS' });
    expect(new Peer('10.0.0.1', false, trust).isSecure(https)).toBe(true);
    expect(new Peer('11.0.0.1', false, trust).isSecure(https)).toBe(false);
    expect(new Peer('11.0.0.1', true, trust).isSecure(headWith({}))).toBe(true);
  });
});

describe('what upstreams are told', () => {
  it('follows the host of each request on a connection', () => {
    const peer = new Peer('11.0.0.1', false, trust);
    expect(peer.forwardedLines(headWith({}), 'a')).toContain('X-Forwarded-Host: a\r\n');
    expect(peer.forwardedLines(headWith({}), 'b')).toContain('X-Forwarded-Host: b\r\n');
  });

  it('does not take a host from a proxy that is none', () => {
    const lines = new Peer('10.0.0.1', false, trust).forwardedLines(headWith({ forwardedHost: 'x y' }), 'a');
    expect(lines).toContain('X-Forwarded-Host: a\r\n');
  });
});
