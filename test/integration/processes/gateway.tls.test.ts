/** TLS towards clients: what a worker offers, which certificate it shows, and how certificates are renewed under load. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { Agent, request } from 'node:https';
import { connect as connectTcp, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CertificateFiles } from '../../../backend/src/adapters/certificates/certificateFiles.js';
import { TlsKeeper } from '../../../backend/src/gateway/primary/tlsKeeper.js';
import { checkCertificates } from '../../../backend/src/gateway/tls/certificates.js';
import type { TlsMaterial } from '../../../backend/src/gateway/tls/contexts.js';
import type { CertificateSource } from '../../../backend/src/ports.js';
import { makeCertificate, materialOf, type MadeCertificate } from '../../support/certificates.js';
import { GatewayHome } from '../../support/gatewayProcess.js';
import {
  atTearDown,
  client,
  echoPath,
  expectIdle,
  gateway,
  get,
  tearDown,
  upstream,
} from '../../support/gatewayScene.js';
import { freePortRange } from '../../support/ports.js';
import { waitFor } from '../../support/waitFor.js';
import { FakeClock } from '../../simulation/fakeClock.js';

const run = promisify(execFile);
const LOOPBACK = { port: 0, host: '127.0.0.1' };

let folder = '';
let first: MadeCertificate;
let shop: MadeCertificate;
let wild: MadeCertificate;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-tls-'));
  [first, shop, wild] = await Promise.all([
    makeCertificate(folder, 'first', { names: ['localhost'] }),
    makeCertificate(folder, 'shop', { names: ['shop.example', 'www.shop.example'] }),
    makeCertificate(folder, 'wild', { names: ['*.wild.example'] }),
  ]);
});
afterAll(() => rm(folder, { recursive: true, force: true }));
afterEach(tearDown);

/** Everybody's authority: the certificates sign themselves. */
const authorities = (): string[] => [first.certificate, shop.certificate, wild.certificate];

async function handshake(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({ port, host: '127.0.0.1', ca: authorities(), servername: 'localhost', ...options });
  atTearDown(() => void socket.destroy());
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  return socket;
}

function subjectOf(socket: TLSSocket): string {
  return String(socket.getPeerCertificate().subject.CN);
}

/** One request over what is given; resolves with the whole answer, which ends the connection. */
async function ask(socket: TLSSocket, head = get('/', 'Connection: close\r\n')): Promise<string> {
  let received = '';
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
  });
  socket.write(head);
  await once(socket, 'end');
  return received;
}

describe('a TLS connection', () => {
  it('carries HTTP/1.1: upstreams hear of https, the session cookie is Secure', async () => {
    const up = await upstream(echoPath);
    const sticky = { cookieName: 'HASESSION', lifetimeMs: 60_000, keys: ['a key that nobody knows'] };
    const started = await gateway([up.port], {}, { sticky });
    const port = await started.worker.listenTls(LOOPBACK, materialOf([first]));
    const socket = await handshake(port, { ALPNProtocols: ['http/1.1'] });
    expect(socket.alpnProtocol).toBe('http/1.1');
    expect(socket.getProtocol()).toBe('TLSv1.3');
    const answer = await ask(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK/);
    expect(answer).toMatch(/Set-Cookie: HASESSION=.*; Secure\r\n/);
    expect(up.received).toContain('X-Forwarded-Proto: https\r\n');
    socket.destroy();
    await expectIdle(started);
  });

  it.each([
    ['TLS 1.2', { maxVersion: 'TLSv1.2' }, 'TLSv1.2'],
    ['TLS 1.3', { minVersion: 'TLSv1.3' }, 'TLSv1.3'],
  ] as const)('speaks %s', async (_name, options, expected) => {
    const { worker } = await gateway([1]);
    const port = await worker.listenTls(LOOPBACK, materialOf([first]));
    expect((await handshake(port, options)).getProtocol()).toBe(expected);
  });

  it('refuses what is older, what it can’t speak, and what is no TLS; counted, one by one', async () => {
    const { worker } = await gateway([1]);
    const port = await worker.listenTls(LOOPBACK, materialOf([first]));
    await expect(
      handshake(port, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'ALL:@SECLEVEL=0' }),
    ).rejects.toThrow();
    await expect(handshake(port, { ALPNProtocols: ['h3'] })).rejects.toThrow(/alert/);
    await client(port).send(get('/')).untilEnded();
    await waitFor(() => worker.stats().refusals['tls.failed'] === 3, { what: 'three failures' });
    expect(worker.stats().clients.connections).toBe(0);
  });

  it('has a minimum that can be raised', async () => {
    const { worker } = await gateway([1]);
    const port = await worker.listenTls(LOOPBACK, { ...materialOf([first, shop]), minVersion: 'TLSv1.3' });
    await expect(handshake(port, { maxVersion: 'TLSv1.2' })).rejects.toThrow();
    await expect(handshake(port, { maxVersion: 'TLSv1.2', servername: 'shop.example' })).rejects.toThrow();
  });

  it('that is cut in the middle of an answer ends without a proper end', async () => {
    const up = await upstream(({ socket }) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
      setImmediate(() => socket.destroy());
    });
    const started = await gateway([up.port]);
    const port = await started.worker.listenTls(LOOPBACK, materialOf([first]));
    const answered = await new Promise<string>((resolve, reject) => {
      const call = request(
        { port, host: '127.0.0.1', ca: authorities(), servername: 'localhost', agent: false },
        (answer) => {
          answer.resume();
          answer.once('error', (error) => resolve(error.message));
          answer.once('end', () => resolve('ended as if complete'));
        },
      );
      call.once('error', reject).end();
    });
    expect(answered).toBe('aborted');
    await expectIdle(started);
  });

  it('is known to curl, with either protocol', async () => {
    const up = await upstream(echoPath);
    const { worker } = await gateway([up.port]);
    const port = await worker.listenTls(LOOPBACK, materialOf([first]));
    for (const [flag, version] of [
      ['--http1.1', '1.1'],
      ['--http2', '2'],
    ] as const) {
      const { stdout } = await run('curl', [
        ...['--silent', '--show-error', flag, '--cacert', join(folder, 'first.crt')],
        ...['--resolve', `localhost:${port}:127.0.0.1`, '--write-out', ' over %{http_version}'],
        `https://localhost:${port}/curl`,
      ]);
      expect(stdout).toBe(`/curl over ${version}`);
    }
  });
});

describe('the name that a client asks for', () => {
  it.each([
    ['www.shop.example', 'shop.example'],
    ['SHOP.example', 'shop.example'],
    ['a.wild.example', '*.wild.example'],
    ['localhost', 'localhost'],
    ['a.b.wild.example', 'localhost'],
    ['wild.example', 'localhost'],
    ['unknown.example', 'localhost'],
  ])('%s gets the certificate of %s', async (servername, subject) => {
    const { worker } = await gateway([1]);
    const port = await worker.listenTls(LOOPBACK, materialOf([first, shop, wild]));
    expect(subjectOf(await handshake(port, { servername, rejectUnauthorized: false }))).toBe(subject);
  });

  it('of two certificates for one name the one that lasts longer is used', async () => {
    const renewed = await makeCertificate(folder, 'shop-renewed', { names: ['shop.example'], days: 60 });
    const { worker } = await gateway([1]);
    const port = await worker.listenTls(LOOPBACK, materialOf([first, renewed, shop]));
    const socket = await handshake(port, { servername: 'shop.example', rejectUnauthorized: false });
    const days = (Date.parse(socket.getPeerCertificate().valid_to) - Date.now()) / 86_400_000;
    expect(days).toBeGreaterThan(50);
  });
});

describe('a session', () => {
  /** TLS 1.3 hands out tickets behind the handshake, with the first bytes. */
  async function sessionOf(port: number, options: ConnectionOptions): Promise<Buffer> {
    const socket = connect({ port, host: '127.0.0.1', ca: authorities(), ...options });
    atTearDown(() => void socket.destroy());
    const [session] = (await once(socket, 'session')) as [Buffer];
    socket.destroy();
    return session;
  }

  it.each([
    ['TLSv1.2', 'localhost'],
    ['TLSv1.3', 'localhost'],
    ['TLSv1.2', 'shop.example'],
    ['TLSv1.3', 'shop.example'],
  ] as const)('of one worker is resumed at another: %s, %s', async (maxVersion, servername) => {
    const one = await gateway([1]);
    const two = await gateway([1]);
    const material = materialOf([first, shop]);
    const onePort = await one.worker.listenTls(LOOPBACK, material);
    const twoPort = await two.worker.listenTls(LOOPBACK, material);
    const session = await sessionOf(onePort, { maxVersion, servername });
    expect((await handshake(twoPort, { maxVersion, servername, session })).isSessionReused()).toBe(true);
    // With other keys it is a new one, and works.
    two.worker.updateTls({ ...material, ticketKeys: Buffer.alloc(48, 9).toString('base64') });
    expect((await handshake(twoPort, { maxVersion, servername, session })).isSessionReused()).toBe(false);
  });
});

describe('handshakes', () => {
  it('that take too long are cut', async () => {
    const started = await gateway([1], { headTimeoutMs: 50 });
    const port = await started.worker.listenTls(LOOPBACK, materialOf([first]));
    const silent = client(port);
    await silent.untilEnded();
    expect(started.worker.stats().refusals).toEqual({ 'tls.timeout': 1 });
    await expectIdle(started);
  });

  it('count in the connections there may be, in all and from one address', async () => {
    const { worker } = await gateway([1], { maxConnectionsPerIp: 2 });
    const port = await worker.listenTls(LOOPBACK, materialOf([first]));
    client(port);
    const second = await handshake(port);
    await waitFor(() => worker.stats().clients.accepted === 2, { what: 'both' });
    await client(port).untilEnded();
    expect(worker.stats().refusals).toEqual({ 'limit.connections-per-ip': 1 });
    second.destroy();
    await waitFor(async () => (await handshake(port)).encrypted, { what: 'a place to be free again' });
  });

  it('beyond what is allowed at a time push out the oldest, not the newcomers', async () => {
    const started = await gateway([1], { maxConnectionsPerIp: 5_000, headTimeoutMs: 60_000 });
    const port = await started.worker.listenTls(LOOPBACK, materialOf([first]));
    const idle: Socket[] = [];
    atTearDown(() => {
      for (const socket of idle) socket.destroy();
    });
    for (let i = 0; i < 1_000; i += 1) {
      const socket = connectTcp({ port, host: '127.0.0.1' });
      socket.on('error', () => undefined);
      idle.push(socket);
      await once(socket, 'connect');
    }
    await waitFor(() => started.worker.stats().clients.accepted === 1_000, { what: 'a thousand idlers' });
    const oldest = idle[0]!;
    const pushedOut = once(oldest.resume(), 'close');
    expect((await handshake(port)).encrypted).toBe(true);
    await pushedOut;
    expect(started.worker.stats().refusals).toEqual({ 'limit.handshakes': 1 });
  });
});

describe('plain requests', () => {
  it('are sent to https when that is wanted, own pages and secure ones are not', async () => {
    const up = await upstream(echoPath);
    const { port } = await gateway(
      [up.port],
      {},
      {},
      { tlsRedirectPort: 443, trustedProxies: ['127.0.0.1'] },
    );
    const redirected = await client(port).send(get('/a?b=c')).until('\r\n\r\n');
    expect(redirected).toMatch(/^HTTP\/1\.1 308 /);
    expect(redirected).toContain('Location: https://a.example/a?b=c\r\n');
    await client(port).send(get('/safe', 'X-Forwarded-Proto: https\r\n')).until('200 OK');
    expect(up.received).not.toContain('/a?b=c');
  });
});

// ---- Certificates in files -------------------------------------------------------------------------------

interface Kept {
  readonly keeper: TlsKeeper;
  readonly clock: FakeClock;
  readonly handedOut: TlsMaterial[];
  readonly logged: string[];
}

function keep(source: CertificateSource): Kept {
  const clock = new FakeClock();
  clock.setWall(Date.now() - clock.wallMs());
  const handedOut: TlsMaterial[] = [];
  const logged: string[] = [];
  const log = (level: string) => (message: string) => void logged.push(`${level}: ${message}`);
  const logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') };
  const keeper = new TlsKeeper({
    clock,
    logger,
    source,
    minVersion: 'TLSv1.2',
    onMaterial: (material) => void handedOut.push(material),
  });
  atTearDown(() => keeper.close());
  return { keeper, clock, handedOut, logged };
}

/** Lets the keeper look at the files once more; files are read in real time. */
async function look({ clock }: Kept): Promise<void> {
  await clock.advance(2_000);
  await waitFor(() => clock.pending > 0, { what: 'the reading to be over', intervalMs: 1 });
}

describe('certificates', () => {
  let directory = '';
  beforeAll(async () => {
    directory = join(folder, 'certificates');
    await mkdir(directory);
  });
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory);
  });

  const source = (): CertificateFiles =>
    new CertificateFiles({
      pair: { certificate: join(folder, 'first.crt'), key: join(folder, 'first.key') },
      directory,
    });
  async function put(from: string, as = from): Promise<void> {
    await copyFile(join(folder, `${from}.crt`), join(directory, `${as}.crt`));
    await copyFile(join(folder, `${from}.key`), join(directory, `${as}.key`));
  }

  it('come from a pair and a directory, the pair first', async () => {
    await put('wild');
    await put('shop');
    const kept = keep(source());
    expect(await kept.keeper.start()).toBe(null);
    expect(kept.keeper.facts.map(({ name, names }) => [name, ...names])).toEqual([
      ['first.crt', 'localhost'],
      ['shop.crt', 'shop.example', 'www.shop.example'],
      ['wild.crt', '*.wild.example'],
    ]);
    expect(kept.handedOut).toHaveLength(1);
    expect(kept.logged.join()).not.toContain('PRIVATE');
  });

  it('that changed are handed out when they have settled, through links too', async () => {
    const renewed = await makeCertificate(folder, 'renewed', { names: ['shop.example'], days: 90 });
    const behind = join(folder, 'behind');
    await mkdir(behind);
    for (const end of ['crt', 'key']) {
      await copyFile(join(folder, `shop.${end}`), join(behind, `now.${end}`));
      await symlink(join(behind, `now.${end}`), join(directory, `shop.${end}`));
    }
    const kept = keep(source());
    await kept.keeper.start();
    await look(kept);
    expect(kept.handedOut).toHaveLength(1);
    for (const end of ['crt', 'key']) {
      await copyFile(join(folder, `renewed.${end}`), join(behind, `next.${end}`));
      await rename(join(behind, `next.${end}`), join(behind, `now.${end}`));
      // Between the two they don't fit: nobody is told.
      await look(kept);
    }
    await look(kept);
    expect(kept.handedOut).toHaveLength(2);
    expect(kept.handedOut[1]?.certificates[1]?.certificate).toBe(renewed.certificate);
    expect(kept.keeper.problems).toEqual([]);
    expect(kept.logged.filter((line) => line.startsWith('error'))).toEqual([]);
  });

  it.each([
    [
      'a key of another',
      () => copyFile(join(folder, 'wild.key'), join(directory, 'shop.key')),
      /shop\.crt.*its key belongs to another certificate/,
    ],
    ['no key', () => rm(join(directory, 'shop.key')), /can't be read.*shop\.key/],
    [
      'half a certificate',
      () => writeFile(join(directory, 'shop.crt'), shop.certificate.slice(0, 300)),
      /shop\.crt.*no certificate in PEM form/,
    ],
    [
      'rubbish for a key',
      () => writeFile(join(directory, 'shop.key'), 'rubbish'),
      /shop\.crt.*no private key in PEM form/,
    ],
    ['a huge file', () => writeFile(join(directory, 'shop.crt'), 'x'.repeat(2_000_000)), /2000000 bytes/],
  ])('%s: reported, and the ones in use stay; put right, that is over', async (_name, breakIt, problem) => {
    await put('shop');
    const kept = keep(source());
    await kept.keeper.start();
    await breakIt();
    for (let i = 0; i < 4; i += 1) await look(kept);
    expect(kept.handedOut).toHaveLength(1);
    expect(kept.keeper.problems).toEqual([expect.stringMatching(problem)]);
    expect(kept.logged.filter((line) => line.startsWith('error'))).toHaveLength(1);
    await put('shop');
    for (let i = 0; i < 2; i += 1) await look(kept);
    expect(kept.keeper.problems).toEqual([]);
    expect(kept.keeper.facts).toHaveLength(2);
  });

  it('that are of no use at the start are a reason not to start', async () => {
    await writeFile(join(directory, 'shop.crt'), 'rubbish');
    await writeFile(join(directory, 'shop.key'), 'rubbish');
    expect(await keep(source()).keeper.start()).toMatch(/shop\.crt/);
    const nothing = new CertificateFiles({ pair: null, directory: join(folder, 'no-such-folder') });
    expect(await keep(nothing).keeper.start()).toMatch(/no-such-folder/);
    await mkdir(join(folder, 'empty'));
    const empty = new CertificateFiles({ pair: null, directory: join(folder, 'empty') });
    expect(await keep(empty).keeper.start()).toMatch(/There is no certificate/);
  });

  it('that end soon are a problem, said once a day; those that have ended are another', async () => {
    await makeCertificate(folder, 'short', { names: ['short.example'], days: 15 });
    await put('short');
    const kept = keep(source());
    await kept.keeper.start();
    expect(kept.keeper.problems).toEqual([]);
    const day = 24 * 3_600_000;
    kept.clock.setWall(2 * day);
    await look(kept);
    await look(kept);
    expect(kept.keeper.problems).toEqual([
      'The certificate short.crt (short.example) ends in 12 days. Renew it.',
    ]);
    expect(kept.logged.filter((line) => line.startsWith('warn'))).toHaveLength(1);
    kept.clock.setWall(13 * day);
    expect(kept.keeper.problems[0]).toMatch(/has ended: clients refuse it/);
  });

  it('share a ticket key that is renewed twice a day', async () => {
    const kept = keep({ read: () => Promise.resolve({ ok: true, certificates: [first] }) });
    await kept.keeper.start();
    await kept.clock.advance(11 * 3_600_000);
    expect(kept.handedOut).toHaveLength(1);
    await kept.clock.advance(2 * 3_600_000);
    expect(kept.handedOut).toHaveLength(2);
    const [before, after] = kept.handedOut.map(({ ticketKeys }) => Buffer.from(ticketKeys, 'base64'));
    expect(before).toHaveLength(48);
    expect(after?.equals(before!)).toBe(false);
  });

  it('with a passphrase are refused with a word about it', async () => {
    const keyFile = join(folder, 'locked.key');
    await run('openssl', [
      'pkey',
      '-in',
      join(folder, 'first.key'),
      '-aes128',
      '-passout',
      'pass:secret',
      '-out',
      keyFile,
    ]);
    const read = await new CertificateFiles({
      pair: { certificate: join(folder, 'first.crt'), key: keyFile },
      directory: null,
    }).read();
    if (!read.ok) throw new Error('it can be read');
    const check = checkCertificates(read.certificates);
    expect(check).toMatchObject({ ok: false, problems: [expect.stringContaining('without a passphrase')] });
  });
});

// ---- The built gateway -----------------------------------------------------------------------------------

describe('a gateway process', () => {
  let home: GatewayHome | null = null;
  let origin: Server;
  afterEach(async () => {
    await home?.dispose();
    origin.closeAllConnections();
    await new Promise((resolve) => origin.close(resolve));
  });

  async function start(files: { readonly certificate: string; readonly key: string }) {
    origin = createServer((_request, response) => response.end('served'));
    origin.listen(0, '127.0.0.1');
    await once(origin, 'listening');
    const tlsPort = await freePortRange(1);
    home = await GatewayHome.create({
      BACKEND_HOSTS: `127.0.0.1:${(origin.address() as AddressInfo).port}`,
      HEALTH_PATH: '/',
      TLS_PORT: String(tlsPort),
      TLS_CERT: files.certificate,
      TLS_KEY: files.key,
    });
    return { home, tlsPort };
  }

  it('swaps certificates under load: no handshake and no request fails, kept connections stay', async () => {
    const files = { certificate: join(folder, 'live.crt'), key: join(folder, 'live.key') };
    const old = await makeCertificate(folder, 'live', { names: ['localhost'] });
    const started = await start(files);
    await started.home.start();
    const { tlsPort } = started;
    const renewed = await makeCertificate(folder, 'live-next', { names: ['localhost'], days: 60 });
    const ca = [old.certificate, renewed.certificate];
    const kept = new Agent({ keepAlive: true, maxSockets: 1 });
    const fetchOnce = (agent: Agent | false): Promise<{ days: number; socket: unknown }> =>
      new Promise((resolve, reject) => {
        const call = request(
          { port: tlsPort, host: '127.0.0.1', servername: 'localhost', ca, agent },
          (answer) => {
            const socket = answer.socket as TLSSocket;
            const days = (Date.parse(socket.getPeerCertificate().valid_to) - Date.now()) / 86_400_000;
            answer
              .on('error', reject)
              .on('end', () => resolve({ days, socket }))
              .resume();
          },
        );
        call.on('error', reject).end();
      });
    const { socket: firstSocket } = await fetchOnce(kept);
    const seen: number[] = [];
    const problems: string[] = [];
    let stopping = false;
    const clients = Array.from({ length: 4 }, async () => {
      while (!stopping) {
        await fetchOnce(false).then(
          ({ days }) => seen.push(days),
          (error: Error) => problems.push(error.message),
        );
      }
    });
    await waitFor(() => seen.length > 50, { what: 'traffic' });
    for (const end of ['key', 'crt'])
      await rename(join(folder, `live-next.${end}`), join(folder, `live.${end}`));
    await waitFor(() => seen.slice(-100).every((days) => days > 50), {
      what: 'the new certificate everywhere',
      deadlineMs: 20_000,
    });
    // A broken pair changes nothing, and is said.
    await writeFile(files.key, first.key);
    const status = await started.home.until('the broken pair', ({ problems: said }) => said.length > 0);
    expect(status.problems[0]).toMatch(/live\.crt can't be used: its key belongs to another certificate/);
    expect(status.certificates).toMatchObject([{ name: 'live.crt', names: ['localhost'] }]);
    const count = seen.length;
    await waitFor(() => seen.length > count + 100, { what: 'more traffic' });
    stopping = true;
    await Promise.all(clients);
    expect(problems).toEqual([]);
    expect((await fetchOnce(kept)).socket).toBe(firstSocket);
    kept.destroy();
    expect(started.home.log()).not.toContain('PRIVATE KEY');
    const metrics = await (await fetch(started.home.url('/metrics'))).text();
    const seconds = Number(/certificate_expiry_seconds\{certificate="live\.crt"\} (\S+)/.exec(metrics)?.[1]);
    expect(seconds / 86_400).toBeGreaterThan(55);
  });

  it('does not start with certificates that are of no use, and says why', async () => {
    const { home: refused } = await start({
      certificate: join(folder, 'first.crt'),
      key: join(folder, 'shop.key'),
    });
    const { code, stderr } = await refused.launch().ended();
    expect(code).toBe(78);
    expect(stderr).toContain("first.crt can't be used: its key belongs to another certificate");
  });

  it('names the TLS port when that is taken', async () => {
    const { home: refused, tlsPort } = await start({
      certificate: join(folder, 'first.crt'),
      key: join(folder, 'first.key'),
    });
    const holder = createServer().listen(tlsPort, '127.0.0.1');
    await once(holder, 'listening');
    const { code, stderr } = await refused.launch().ended();
    await new Promise((resolve) => holder.close(resolve));
    expect(code).toBe(1);
    expect(stderr).toMatch(new RegExp(`Port ${tlsPort} on 127.0.0.1 is taken.*set TLS_PORT`));
  });
});
