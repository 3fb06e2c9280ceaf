/** The PROXY protocol towards a gateway worker: whom it is believed of, on the plain port and before TLS. */
import { connect as connectTls } from 'node:tls';
import { connect } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { makeCertificate, materialOf, type MadeCertificate } from '../../support/certificates.js';
import {
  client,
  echoPath,
  expectIdle,
  gateway,
  get,
  ok,
  tearDown,
  upstream,
} from '../../support/gatewayScene.js';
import { waitFor } from '../../support/waitFor.js';

const FROM_LOOPBACK = { proxyProtocolFrom: ['127.0.0.0/8'] };
const LINE = 'PROXY TCP4 192.0.2.7 198.51.100.1 51234 443\r\n';

/** Version 2, of an IPv4 client, with `more` behind the addresses. */
function binaryHeader(client: readonly number[], more = Buffer.alloc(0)): Buffer {
  const rest = Buffer.concat([Buffer.from([...client, 198, 51, 100, 1, 0xc8, 0x22, 0x01, 0xbb]), more]);
  const fixed = Buffer.from([0x21, 0x11, rest.length >> 8, rest.length & 0xff]);
  return Buffer.concat([Buffer.from('0d0a0d0a000d0a515549540a', 'hex'), fixed, rest]);
}

/** What an upstream was told of its client. */
function toldOf(received: string): string[] {
  return [...received.matchAll(/^X-Forwarded-For: (.*)\r$/gim)].map(([, value = '']) => value);
}

afterEach(tearDown);

describe('from a trusted peer', () => {
  it('version 1 says who the client is, for every request of the connection', async () => {
    const up = await upstream(echoPath);
    const started = await gateway([up.port], {}, {}, FROM_LOOPBACK);
    const one = client(started.port).send(LINE + get('/one'));
    await one.until('/one');
    await one.send(get('/two')).until('/two');
    expect(toldOf(up.received)).toEqual(['192.0.2.7', '192.0.2.7']);
    one.destroy();
    await expectIdle(started);
  });

  it.each([
    ['version 2', binaryHeader([192, 0, 2, 9]), '192.0.2.9'],
    ['version 2 with TLVs', binaryHeader([192, 0, 2, 9], Buffer.alloc(600, 0xee)), '192.0.2.9'],
    ['LOCAL', Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex'), '127.0.0.1'],
    ['UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n'), '127.0.0.1'],
    ['IPv6', Buffer.from('PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n'), '2001:db8::7'],
  ])('%s, one byte at a time', async (_name, header, address) => {
    const up = await upstream(echoPath);
    const { port } = await gateway([up.port], {}, {}, FROM_LOOPBACK);
    const one = client(port);
    for (const byte of header) await new Promise((resolve) => one.socket.write(Buffer.of(byte), resolve));
    await one.send(get('/slow')).until('/slow');
    expect(toldOf(up.received)).toEqual([address]);
  });

  const forty = <T>(each: (host: number) => T): T[] => Array.from({ length: 40 }, (_, host) => each(host));
  it.each([
    ['not the balancer', forty((host) => `TCP4 192.0.2.${host} 198.51.100.1`), 40],
    ['one address', forty(() => 'TCP4 192.0.2.1 198.51.100.1'), 2],
    ['of IPv6 its network', forty((host) => `TCP6 2001:db8:1:2::${host.toString(16)} 2001:db8::1`), 2],
    ['each network', forty((net) => `TCP6 2001:db8:1:${net.toString(16)}::1 2001:db8::1`), 40],
    ['IPv4 as IPv6', forty((host) => `TCP6 ::ffff:192.0.2.${host} 2001:db8::1`), 40],
    ['… in every spelling', forty((n) => `TCP6 ::ffff:${n % 2 ? '192.0.2.1' : 'c000:201'} 2001:db8::1`), 2],
  ])('its client counts in the limits: %s', async (_who, addresses, admitted) => {
    const up = await upstream(echoPath);
    const started = await gateway([up.port], { maxConnectionsPerIp: 2 }, {}, FROM_LOOPBACK);
    let refused = 0;
    for (const each of addresses) {
      const answer = await client(started.port)
        .send(`PROXY ${each} 1 443\r\n${get('/')}`)
        .until('HTTP/1.1 ');
      if (!/^HTTP\/1.1 200/.test(answer)) refused += 1;
    }
    expect(addresses.length - refused).toBe(admitted);
    expect(started.worker.stats().refusals['limit.connections-per-ip'] ?? 0).toBe(refused);
  });

  it('is not itself believed in X-Forwarded-For, unless its client is a trusted proxy', async () => {
    const up = await upstream(echoPath);
    const trustedProxies = ['192.0.2.0/24'];
    const { port } = await gateway([up.port], {}, {}, { ...FROM_LOOPBACK, trustedProxies });
    const forged = get('/', 'X-Forwarded-For: 203.0.113.9\r\n');
    await client(port).send(`PROXY TCP4 198.51.100.7 198.51.100.1 1 443\r\n${forged}`).until('200 OK');
    await client(port)
      .send(LINE + forged)
      .until('200 OK');
    expect(toldOf(up.received)).toEqual(['198.51.100.7', '203.0.113.9, 192.0.2.7']);
  });

  it.each([
    ['no header', get('/')],
    ['a malformed header', 'PROXY TCP4 192.0.2.7 198.51.100.1 51234\r\n'],
    ['a TLS greeting', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ])('%s: the connection is cut, and nothing is forwarded', async (_name, bytes) => {
    const up = await upstream(echoPath);
    const started = await gateway([up.port], {}, {}, FROM_LOOPBACK);
    const one = client(started.port).send(bytes);
    await waitFor(() => one.closed, { what: 'the cut' });
    expect(one.received).toBe('');
    expect(up.connections).toHaveLength(0);
    expect(started.worker.stats().refusals).toEqual({ 'proxy.malformed': 1 });
  });

  it('no header in time, or an end before it: cut', async () => {
    const started = await gateway([1], { headTimeoutMs: 50 }, {}, FROM_LOOPBACK);
    const silent = client(started.port).send('PROXY TCP4 192.');
    await waitFor(() => silent.closed, { what: 'the cut' });
    const ended = client(started.port).send('PROXY TCP4 192.');
    ended.socket.end();
    await waitFor(() => ended.closed, { what: 'the other cut' });
    expect(started.worker.stats().refusals).toEqual({ 'proxy.timeout': 1, 'proxy.malformed': 1 });
  });

  it('those that wait for their header end with the worker', async () => {
    const started = await gateway([1], {}, {}, FROM_LOOPBACK);
    const waiting = client(started.port);
    await waitFor(() => started.worker.stats().clients.accepted === 1, { what: 'the connection' });
    expect(await started.worker.drain({ timeoutMs: 5_000, windowMs: 0 })).toBe(true);
    expect(await waiting.untilEnded()).toBe('');
  });
});

describe('from anybody else', () => {
  it('a header is a malformed request, never an address', async () => {
    const up = await upstream(echoPath);
    const { port, worker } = await gateway([up.port], {}, {}, { proxyProtocolFrom: ['10.0.0.0/8', '::1'] });
    const spoof = client(port).send(LINE + get('/spoofed'));
    expect(await spoof.untilEnded()).toMatch(/^HTTP\/1\.1 (400|501|505) /);
    const binary = client(port);
    binary.socket.write(Buffer.concat([binaryHeader([192, 0, 2, 9]), Buffer.from(get('/spoofed'))]));
    expect(await binary.untilEnded()).toMatch(/^HTTP\/1\.1 400 /);
    await client(port).send(get('/honest')).until('/honest');
    expect(up.received).not.toContain('spoofed');
    expect(toldOf(up.received)).toEqual(['127.0.0.1']);
    expect(Object.keys(worker.stats().refusals).some((code) => code.startsWith('proxy.'))).toBe(false);
  });
});

describe('before TLS', () => {
  let folder = '';
  let certificate: MadeCertificate;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-proxy-'));
    certificate = await makeCertificate(folder, 'localhost', { names: ['localhost'] });
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.each([
    ['in a write of its own', false],
    ['together with the greeting', true],
  ])('the header comes first, %s', async (_name, together) => {
    const up = await upstream(({ socket }) => socket.write(ok('hello')));
    const { worker } = await gateway([up.port], {}, {}, FROM_LOOPBACK);
    const port = await worker.listenTls({ port: 0, host: '127.0.0.1' }, materialOf([certificate]));
    const raw = connect({ port, host: '127.0.0.1' });
    raw.on('error', () => undefined);
    if (together) raw.cork();
    raw.write(binaryHeader([192, 0, 2, 77]));
    const secure = connectTls({ socket: raw, ca: certificate.certificate, servername: 'localhost' });
    if (together) setImmediate(() => raw.uncork());
    let received = '';
    secure.on('error', () => undefined);
    secure.on('data', (chunk: Buffer) => {
      received += chunk.toString();
    });
    secure.write(get('/'));
    await waitFor(() => received.includes('hello'), { what: 'the answer through TLS' });
    expect(toldOf(up.received)).toEqual(['192.0.2.77']);
    expect(up.received).toContain('X-Forwarded-Proto: https');
    secure.destroy();
  });
});
