/** Facts about real processes of this machine: what they answer, where they listen, what they wrote; and what the rule makes of them. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { makeCertificate } from '../../../../test/support/certificates.js';
import { freePortRange } from '../../../../test/support/ports.js';
import { canBeStranger, stranger, STRANGER_UID } from '../../../../test/support/stranger.js';
import { waitFor } from '../../../../test/support/waitFor.js';
import { diagnose } from '../../domain/diagnosis/diagnose.js';
import type { ManagedProcess } from '../../domain/model.js';
import type { ProbeSpec } from '../../domain/policy.js';
import { listeningSockets, parseAddress } from '../net/listeningSockets.js';
import { createFactFinder } from './factFinder.js';

const HTTP: ProbeSpec = { kind: 'http', path: '/health', statusMin: 200, statusMax: 299, bodyIncludes: null };

let folder: string;
let port: number;
let running: ChildProcess[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-facts-'));
  port = await freePortRange(2);
});
afterEach(() => {
  for (const child of running) process.kill(-(child.pid ?? 0), 'SIGKILL');
  running = [];
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs `script`, in a process group of its own, until it says that it is there. */
async function start(
  script: string,
  wrap: (file: string) => readonly string[] = (file) => [process.execPath, file],
) {
  const file = join(folder, 'app.cjs');
  writeFileSync(file, `const PORT = ${port};\n${script}\nconsole.log('there');`);
  const [command = '', ...args] = wrap(file);
  const child = spawn(command, args, { detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
  running.push(child);
  let said = '';
  child.stdout.on('data', (data: Buffer) => (said += data.toString()));
  await waitFor(() => said.includes('there'), { what: 'the application' });
  return child.pid ?? 0;
}

function instance(pid: number, more: Partial<ManagedProcess> = {}): ManagedProcess {
  const startedAtMs = Date.now() - 8_000;
  const times = { startedAtMs, createdAtMs: startedAtMs, killTimeoutMs: 1_000, restarts: 0 };
  return { service: 'api', pmId: 0, pid, port, status: 'online', mode: 'fork', ...times, ...more };
}

const noLogs = { errorLogOf: () => null, outputLogOf: () => null, daemonPid: () => null };

/** What is found out, and what the rule says of it. */
async function look(process: ManagedProcess, probe: ProbeSpec = HTTP) {
  const known = { probe, timeoutMs: 400, host: '127.0.0.1', knownPorts: new Set([port]), listening: null };
  const facts = await createFactFinder(noLogs).ofRunning(process, known);
  const { service, pmId, pid, mode } = process;
  const at = { pmId, pid, port: process.port };
  const subject = { service, instance: at, host: known.host, mode, ageMs: 8_000 };
  return { facts, code: diagnose({ ...subject, probe, startTimeoutMs: 30_000, ...facts })?.code ?? null };
}

const serving = (listener: string, at = "PORT, '127.0.0.1'"): string =>
  `require('http').createServer((q, a) => { ${listener} }).listen(${at}, () => console.log('listening'));`;

it.each<[what: string, script: string, code: string | null, probe?: ProbeSpec]>([
  ['serves', serving("a.end('ok')"), null],
  ['has no health path', serving("a.statusCode = q.url === '/' ? 200 : 404; a.end()"), 'health-path-missing'],
  ['wants a login', serving('a.statusCode = 401; a.end()'), 'health-path-protected'],
  ['redirects', serving("a.writeHead(302, { location: '/login' }); a.end()"), 'health-path-redirects'],
  ['says 503', serving('a.statusCode = 503; a.end()'), 'not-ready'],
  ['never answers', serving(''), 'no-answer'],
  [
    'stops in the middle of its answer',
    serving("a.writeHead(200, { 'content-length': 9 }); a.write('x')"),
    'no-answer',
  ],
  ['listens on another port', serving('', 'PORT + 1'), 'wrong-port'],
  ['listens on ::1', serving('', "PORT, '::1'"), 'wrong-address'],
  ['listens on another address', serving('', "PORT, '127.0.0.2'"), 'wrong-address'],
  ['listens nowhere', 'setInterval(() => 0, 1000)', 'not-listening'],
  ['listens on a Unix socket', serving('', 'process.argv[1] + ".sock"'), 'unix-socket'],
  ['speaks no HTTP', "require('net').createServer((s) => s.end('220 hello\\r\\n')).listen(PORT)", 'not-http'],
  [
    'closes what it does not understand',
    "require('net').createServer((s) => s.destroy()).listen(PORT)",
    'not-http',
  ],
  [
    'speaks no HTTP and is probed by TCP',
    "require('net').createServer(() => 0).listen(PORT)",
    null,
    { kind: 'tcp' },
  ],
  [
    'is probed by TCP on another port',
    "require('net').createServer(() => 0).listen(PORT + 1)",
    'wrong-port',
    { kind: 'tcp' },
  ],
])('an application that %s', async (_what, script, code, probe = HTTP) => {
  const pid = await start(script);
  // listen() comes a moment after the script.
  const found = await waitFor(
    async () => {
      const seen = await look(instance(pid), probe);
      return seen.code === code && seen;
    },
    { what: String(code) },
  );
  expect(found.facts.holder).toBeNull();
});

describe('what listens on the port of an instance and is no part of it', () => {
  const facts = createFactFinder(noLogs);
  const LISTENS = serving("a.end('ok')");
  const bystander = (): Promise<number> => start('setInterval(() => 0, 1_000);');
  const CHILD = `require('child_process').fork(__dirname + '/child.cjs');`;

  it.each([
    ['the instance itself', LISTENS],
    ['what it has started', CHILD],
  ])('is not %s', async (_what, script) => {
    writeFileSync(join(folder, 'child.cjs'), `const PORT = ${port};\n${LISTENS}`);
    const pid = await start(script);
    await waitFor(() => facts.isListening(port), { what: 'it to listen' });
    expect(await facts.foreignHolder(instance(pid))).toBeNull();
    // Of another instance it is no part.
    expect(await facts.foreignHolder(instance(await bystander()))).toMatchObject({ isOtherUser: false });
  });

  it('is nothing where nothing listens, or where the service listens on no port', async () => {
    await waitFor(() => !facts.isListening(port), { what: 'the one before to end' });
    expect(await facts.foreignHolder(instance(await bystander()))).toBeNull();
    expect(await facts.foreignHolder(instance(await bystander(), { port: null }))).toBeNull();
  });

  it.each([
    ['of the same user', null, '127.0.0.1'],
    ['of another user (needs root)', STRANGER_UID, '127.0.0.1'],
    ['on another address', null, '::1'],
  ])('is a process %s, also when the instance has ended', async (_whose, uid, host) => {
    if (uid !== null && !canBeStranger) return;
    const other = await stranger(port, host, uid).listening;
    try {
      expect(facts.isListening(port)).toBe(true);
      for (const pid of [await bystander(), 2 ** 22 + 1, null])
        expect(await facts.foreignHolder(instance(0, { pid }))).toEqual({
          by: expect.stringMatching(/^pid \d+ \(.*node.* -e/),
          isOtherUser: uid !== null,
        });
    } finally {
      await other.leave();
    }
  });

  it("is not PM2's daemon, which listens for those in cluster mode, also when there is no process", async () => {
    const daemonPid = await start(LISTENS);
    await waitFor(() => facts.isListening(port), { what: 'it to listen' });
    const withDaemon = createFactFinder({ ...noLogs, daemonPid: () => daemonPid });
    const one = instance(0, { pid: null, mode: 'cluster' });
    expect(await withDaemon.foreignHolder(one)).toBeNull();
    expect(await withDaemon.foreignHolder({ ...one, mode: 'fork' })).not.toBeNull();
    expect(await facts.foreignHolder(one)).not.toBeNull();
  });

  it('is told beside the socket of the instance itself', async () => {
    const pid = await start(serving("a.end('ok')", "PORT, '127.0.0.1'"));
    await waitFor(() => facts.isListening(port), { what: 'it to listen' });
    const other = await stranger(port, '127.0.0.2', null).listening;
    expect(await facts.foreignHolder(instance(pid))).toMatchObject({ isOtherUser: false });
    await other.leave();
  });
});

it.each([
  ["PORT, '::1'", '::1'],
  ["PORT, '127.0.0.2'", '127.0.0.2'],
  ["{ port: PORT, host: '::', ipv6Only: true }", '::1'],
  ["PORT, '127.0.0.1'", null],
  ['PORT', null],
  ["PORT + 1, '::1'", null],
])('one that listens on %s is reached at %s', async (where, expected) => {
  const pid = await start(serving("a.end('ok')", where));
  await waitFor(
    async () => (await listeningSockets())?.some((one) => one.port === port || one.port === port + 1),
    {
      what: 'it to listen',
    },
  );
  const facts = createFactFinder(noLogs);
  expect(await facts.addressOf(instance(pid))).toBe(expected);
  // One that has nothing to do with it is not led there.
  const other = await start('setInterval(() => {}, 1e6);');
  expect(await facts.addressOf(instance(other))).toBeNull();
});

it.each([
  ['answers localhost alone', "q.headers.host === 'localhost'", 'host-refused', 200],
  ['answers another host alone', "q.headers.host === 'shop.example'", 'health-path-missing', 400],
])('one that %s', async (_what, allows, expected, status) => {
  const pid = await start(serving(`a.statusCode = ${allows} ? 200 : 400; a.end()`));
  const { otherHost } = await waitFor(
    async () => {
      const { facts, code } = await look(instance(pid));
      return code === expected && facts;
    },
    { what: 'an answer' },
  );
  expect(otherHost).toEqual({ host: 'localhost', status });
  // Asked as healthHost says, it serves, and every question is sent with the fields.
  const probe = { ...HTTP, host: allows.includes('shop') ? 'shop.example' : 'localhost' };
  expect((await look(instance(pid), probe)).code).toBeNull();
});

it('names the path that does answer', async () => {
  const pid = await start(serving("a.statusCode = q.url === '/api/health' ? 204 : 404; a.end()"));
  const { otherPaths } = await waitFor(
    async () => {
      const { facts, code } = await look(instance(pid));
      return code === 'health-path-missing' && facts;
    },
    { what: 'an answer' },
  );
  expect(otherPaths).toEqual([{ path: '/api/health', status: 204 }]);
});

it('sees where a child of the instance listens', async () => {
  const pid = await start(serving("a.end('ok')", 'PORT + 1'), (file) => [
    '/bin/sh',
    '-c',
    `${process.execPath} ${file}; true`,
  ]);
  await waitFor(async () => (await listeningSockets())?.some((one) => one.port === port + 1), {
    what: 'the child',
  });
  const { facts, code } = await look(instance(pid));
  expect(code).toBe('wrong-port');
  expect(facts.listening?.addresses.map((one) => one.port)).toEqual([port + 1]);
});

it('names another process that has its port', async () => {
  const idle = await start('setInterval(() => 0, 1000)');
  const stranger = await start(serving("a.end('ok')"));
  await waitFor(async () => (await listeningSockets())?.some((one) => one.port === port), {
    what: 'the stranger',
  });
  const { facts, code } = await look(instance(idle));
  expect(code).toBe('port-taken');
  expect(facts.holder).toEqual({
    port,
    // A command line is cut to 80 characters.
    by: expect.stringMatching(new RegExp(`^pid ${stranger} \\(.*holdfast-facts-`)),
  });
});

it('tells TLS from what is no HTTP', async () => {
  const { certificate: cert, key } = await makeCertificate(folder, 'app', { names: ['localhost'] });
  const options = JSON.stringify({ cert, key });
  const pid = await start(`require('https').createServer(${options}, (q, a) => a.end('ok')).listen(PORT)`);
  await waitFor(async () => (await look(instance(pid))).code === 'speaks-tls', { what: 'TLS' });
});

describe('the log', () => {
  const files = () => ({ error: join(folder, 'err.log'), out: join(folder, 'out.log') });
  const finder = () =>
    createFactFinder({ ...noLogs, errorLogOf: () => files().error, outputLogOf: () => files().out });

  it('is what the instance wrote in this life, without secrets', async () => {
    const { error, out } = files();
    writeFileSync(error, `Error: of yesterday\n`);
    utimesSync(error, 1, 1);
    writeFileSync(out, 'listening\nconnecting to mysql://root:hush@db/x\n');
    const { log } = await finder().ofRunning(instance(process.pid, { port: null }), {
      probe: HTTP,
      timeoutMs: 100,
      host: '127.0.0.1',
      knownPorts: new Set(),
      listening: null,
    });
    expect(log?.path).toBe(out);
    expect(log?.lines).toEqual(['listening', expect.not.stringContaining('hush')]);
  });

  it('tells the error of one that ended, and the process that has the port it names', async () => {
    const pid = await start(serving("a.end('ok')"));
    await waitFor(async () => (await listeningSockets())?.some((one) => one.port === port), {
      what: 'the holder',
    });
    writeFileSync(
      files().error,
      `Error: listen EADDRINUSE: address already in use :::${port}\n    at go (/srv/a.js:1:2)\n`,
    );
    const { error, holder } = await finder().ofExit(instance(1));
    expect(error).toEqual({ headline: expect.stringContaining('EADDRINUSE'), at: '/srv/a.js:1:2' });
    expect(holder).toEqual({ port, by: expect.stringContaining(`pid ${pid} (`) });
  });

  it('is no reason to fail when it can not be read', async () => {
    const nowhere = createFactFinder({
      ...noLogs,
      errorLogOf: () => folder,
      outputLogOf: () => join(folder, 'none'),
    });
    expect(await nowhere.ofExit(instance(1))).toEqual({ error: null, holder: null, log: null });
  });
});

it.each([
  ['0100007F', '127.0.0.1'],
  ['00000000', '0.0.0.0'],
  ['00000000000000000000000000000000', '::'],
  ['00000000000000000000000001000000', '::1'],
  ['0000000000000000FFFF00000100007F', '::ffff:127.0.0.1'],
  ['B80D01200000000067452301EFCDAB89', '2001:db8::123:4567:89ab:cdef'],
])('reads the address %s', (hex, address) => {
  expect(parseAddress(hex)).toBe(address);
});
