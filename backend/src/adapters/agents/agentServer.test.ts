/** Real sockets in a folder of their own; agents played by hand, so that they can misbehave. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FIGURES } from '../../../../test/support/agentFrames.js';
import { waitFor } from '../../../../test/support/waitFor.js';
import type { AgentEvents, AgentSettings } from '../../ports.js';
import { systemClock } from '../clock.js';
import { AgentServer } from './agentServer.js';

let folder = '';
let path = '';
const servers: AgentServer[] = [];
const peers: Peer[] = [];
const children: ChildProcess[] = [];
const shells: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-agents-'));
  path = join(folder, 'run', 'agents.sock');
});

afterEach(async () => {
  for (const { socket } of peers.splice(0)) socket.destroy();
  await Promise.all(servers.splice(0).map((server) => server.close()));
  for (const child of children.splice(0)) child.kill('SIGKILL');
  const ended = shells.splice(0).map((shell) => {
    shell.stdin?.end();
    return new Promise((resolve) => shell.once('exit', resolve));
  });
  await Promise.all(ended);
  rmSync(folder, { recursive: true, force: true });
});

interface Listening {
  readonly server: AgentServer;
  readonly log: { level: string; message: string; fields: Readonly<Record<string, unknown>> }[];
  readonly told: { type: string; payload: AgentEvents[keyof AgentEvents] }[];
  settings: AgentSettings;
  of<K extends keyof AgentEvents>(type: K): AgentEvents[K][];
}

async function listening(): Promise<Listening> {
  const log: Listening['log'] = [];
  const told: Listening['told'] = [];
  const note =
    (level: string) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void =>
      void log.push({ level, message, fields });
  const logger = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') };
  const it = {
    log,
    told,
    settings: { hangTimeoutMs: 1_000, intervalMs: 250, killTimeoutMs: 10_000 },
    of: <K extends keyof AgentEvents>(type: K) =>
      told.filter((one) => one.type === type).map(({ payload }) => payload as AgentEvents[K]),
  };
  const server = new AgentServer({ path, clock: systemClock, logger, settings: () => it.settings });
  for (const type of [
    'connected',
    'figures',
    'hang',
    'recovered',
    'attachment',
    'stopping',
    'gone',
  ] as const) {
    server.on(type, (payload) => void told.push({ type, payload }));
  }
  servers.push(server);
  await server.start();
  return Object.assign(it, { server });
}

interface Peer {
  readonly socket: Socket;
  readonly heard: () => string;
  readonly closed: () => boolean;
  say(message: object): void;
  hello(fields?: object): void;
}

function peer(): Peer {
  const socket = connect(path);
  let heard = '';
  let closed = false;
  socket.on('data', (chunk) => (heard += String(chunk)));
  socket.on('error', () => undefined);
  socket.on('close', () => (closed = true));
  const say = (message: object): void => void socket.write(`${JSON.stringify(message)}\n`);
  const hello = (fields: object = {}): void =>
    say({ type: 'hello', protocol: 1, pid: process.pid, agent: '1', node: 'v20', startedAtMs: 1, ...fields });
  const it = { socket, heard: () => heard, closed: () => closed, say, hello };
  peers.push(it);
  return it;
}

/** A process to speak for. */
function livePid(): number {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  children.push(child);
  return child.pid!;
}

/** Many of them, by one shell, which ends when its input does. */
async function livePids(count: number): Promise<readonly number[]> {
  const program = `all=; for i in $(seq ${count}); do sleep 60 & all="$all $!"; echo $!; done; read line; kill $all`;
  const shell = spawn('sh', ['-c', program], { stdio: ['pipe', 'pipe', 'ignore'] });
  shells.push(shell);
  let said = '';
  shell.stdout.on('data', (chunk) => (said += String(chunk)));
  await waitFor(() => said.split('\n').length > count, { what: 'processes' });
  return said.trim().split('\n').map(Number);
}

const closedSoon = (one: Peer): Promise<boolean> =>
  waitFor(one.closed, { what: 'the connection to be ended' });

describe('AgentServer', () => {
  test('welcomes an agent, hears it, and says when it is gone', async () => {
    const { server, of, log } = await listening();
    const agent = peer();
    agent.hello();
    await waitFor(() => agent.heard().includes('\n'), { what: 'a welcome' });
    expect(JSON.parse(agent.heard())).toEqual({
      type: 'welcome',
      protocol: 1,
      hangTimeoutMs: 1_000,
      intervalMs: 250,
      killTimeoutMs: 10_000,
    });
    expect(server.isConnected(process.pid)).toBe(true);
    agent.say(FIGURES);
    agent.say({
      type: 'hang',
      hang: 1,
      silentMs: 1_000,
      where: 'native',
      stack: [],
      detail: 'native code',
      requests: [],
    });
    agent.say({ type: 'recovered', hang: 1, silentMs: 1_500 });
    agent.say({ type: 'attachment', kind: 'report', content: { header: {} } });
    agent.say({ type: 'stopping', signal: 'SIGINT', draining: true });
    agent.socket.end();
    await waitFor(() => of('gone').length === 1, { what: 'its end' });
    expect(of('figures')[0]?.figures.eluPercent).toBe(25);
    expect([
      of('hang').length,
      of('recovered').length,
      of('attachment').length,
      of('stopping').length,
    ]).toEqual([1, 1, 1, 1]);
    expect(server.isConnected(process.pid)).toBe(false);
    expect(log.filter(({ level }) => level !== 'info')).toEqual([]);
  });

  test('tells new settings to whom they are new', async () => {
    const it = await listening();
    const agent = peer();
    agent.hello();
    await waitFor(() => agent.heard().split('\n').length === 2, { what: 'a welcome' });
    it.server.refresh();
    it.settings = { ...it.settings, hangTimeoutMs: 5_000 };
    it.server.refresh();
    await waitFor(() => agent.heard().includes('5000'), { what: 'the new setting' });
    expect(agent.heard().trim().split('\n')).toHaveLength(2);
  });

  test('is private, and closes without a trace', async () => {
    const { server } = await listening();
    expect(lstatSync(path).mode & 0o777).toBe(0o600);
    expect(lstatSync(dirname(path)).mode & 0o777).toBe(0o700);
    await server.close();
    expect(execFileSync('ls', ['-A', dirname(path)], { encoding: 'utf8' })).toBe('');
  });

  test('makes a folder private that was not', async () => {
    mkdirSync(dirname(path), { mode: 0o755 });
    await listening();
    expect(lstatSync(dirname(path)).mode & 0o777).toBe(0o700);
  });

  test('takes the place of a dead supervisor', async () => {
    mkdirSync(dirname(path));
    const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    const child = spawn(process.execPath, ['-e', program]);
    await new Promise((resolve) => child.once('exit', resolve));
    expect(lstatSync(path).isSocket()).toBe(true);
    const { server } = await listening();
    expect(server.counts().problem).toBeNull();
    const agent = peer();
    agent.hello();
    await waitFor(() => server.isConnected(process.pid), { what: 'the agent' });
  });

  describe('leaves alone what is not its own, says so once, and takes the place once it is free', () => {
    let other: Server | undefined;
    afterEach(() => other?.close());
    const obstacles: Record<string, () => unknown> = {
      'a file': () => writeFileSync(path, 'mine'),
      'a folder': () => mkdirSync(path),
      'a symbolic link': () => symlinkSync('/nowhere', path),
      'another process listens': () =>
        new Promise((resolve) => {
          other = createServer().listen(path, () => resolve(null));
        }),
    };
    for (const [what, put] of Object.entries(obstacles)) {
      test(what, async () => {
        mkdirSync(dirname(path), { mode: 0o700 });
        await put();
        const before = lstatSync(path).ino;
        const { server, log } = await listening();
        await server.start();
        await server.start();
        expect(server.counts().problem).toContain(what);
        expect(log.filter(({ level }) => level === 'warn')).toHaveLength(1);
        expect(lstatSync(path).ino).toBe(before);
        await server.close();
        expect(lstatSync(path).ino).toBe(before);
        if (what === 'a file') expect(readFileSync(path, 'utf8')).toBe('mine');
        if (other === undefined) rmSync(path, { recursive: true });
        else await new Promise((resolve) => other!.close(resolve));
        const again = await listening();
        expect(again.server.counts().problem).toBeNull();
      });
    }
  });

  test('gets its name back when somebody removes it, and keeps who is connected', async () => {
    const { server } = await listening();
    const agent = peer();
    agent.hello();
    await waitFor(() => server.isConnected(process.pid), { what: 'the agent' });
    rmSync(path);
    await server.start();
    expect(lstatSync(path).isSocket()).toBe(true);
    expect(server.isConnected(process.pid)).toBe(true);
    const pid = livePid();
    peer().hello({ pid });
    await waitFor(() => server.isConnected(pid), { what: 'an agent under the new name' });
  });

  test('a name that nobody can look at is said once, and taken back when that is over', async () => {
    const { server, log } = await listening();
    const agent = peer();
    agent.hello();
    await waitFor(() => server.isConnected(process.pid), { what: 'the agent' });
    const run = dirname(path);
    renameSync(run, `${run}-aside`);
    // A link to itself: ELOOP, also for root, whom EACCES does not stop.
    symlinkSync(run, run);
    await server.start();
    await server.start();
    const warnings = log.filter(({ level }) => level === 'warn');
    expect(warnings).toHaveLength(1);
    expect(warnings[0]?.fields['problem']).toContain('ELOOP');
    expect(server.counts().problem).not.toBeNull();
    expect(server.isConnected(process.pid)).toBe(true);
    rmSync(run);
    renameSync(`${run}-aside`, run);
    await server.start();
    expect(server.counts().problem).toBeNull();
    const pid = livePid();
    peer().hello({ pid });
    await waitFor(() => server.isConnected(pid), { what: 'an agent, once it can be found' });
  });

  test('a folder that cannot be made is a problem, not an end', async () => {
    writeFileSync(join(folder, 'run'), 'a file where the folder should be');
    const { server, log } = await listening();
    expect(server.counts().problem).not.toBeNull();
    expect(log).toHaveLength(1);
  });
});

describe('AgentServer and its peers', () => {
  test('the newest connection of a process counts', async () => {
    const { server, of, told } = await listening();
    const first = peer();
    first.hello();
    first.say(FIGURES);
    await waitFor(() => of('figures').length === 1, { what: 'figures' });
    const second = peer();
    second.hello();
    await closedSoon(first);
    expect(server.isConnected(process.pid)).toBe(true);
    second.say(FIGURES);
    second.say({ ...FIGURES, seq: 8 });
    await waitFor(() => of('figures').length === 2, { what: 'newer figures' });
    expect(server.counts()).toMatchObject({ connected: 1, replayed: 1, refused: 0 });
    expect(told.map(({ type }) => type)).toEqual(['connected', 'figures', 'gone', 'connected', 'figures']);
  });

  test('another process under the same number counts anew', async () => {
    const { of } = await listening();
    const first = peer();
    first.hello();
    first.say({ ...FIGURES, seq: 1_000 });
    await waitFor(() => of('figures').length === 1, { what: 'figures' });
    const second = peer();
    second.hello({ startedAtMs: 2 });
    second.say({ ...FIGURES, seq: 0 });
    await waitFor(() => of('figures').length === 2, { what: 'figures of the next one' });
  });

  test('figures in a wrong order, or twice, are dropped', async () => {
    const { server, of } = await listening();
    const agent = peer();
    agent.hello();
    for (const seq of [3, 3, 2, 1, 4]) agent.say({ ...FIGURES, seq });
    await waitFor(() => of('figures').length === 2, { what: 'two figures' });
    expect(server.counts().replayed).toBe(3);
  });

  test('ends whoever does not begin with a hello, of this protocol, of a live process', async () => {
    const { server, log, told } = await listening();
    const [rude, foreign, foreignToo, dead, empty] = [peer(), peer(), peer(), peer(), peer()];
    rude.say(FIGURES);
    foreign.hello({ protocol: 2 });
    foreignToo.hello({ protocol: 2 });
    dead.hello({ pid: 2 ** 22 + 12_345 });
    empty.socket.write('\n');
    await Promise.all([rude, foreign, foreignToo, dead, empty].map(closedSoon));
    expect(told).toEqual([]);
    expect(server.counts().refused).toBe(5);
    const warnings = log.filter(({ level }) => level === 'warn').map(({ message }) => message);
    expect(warnings.filter((message) => message.includes('protocol 2 and this supervisor 1'))).toHaveLength(
      1,
    );
    expect(warnings).toHaveLength(4);
  });

  test('survives nonsense: drops it, and ends who says nothing else', async () => {
    const { server, of, log } = await listening();
    const agent = peer();
    agent.hello();
    for (let i = 0; i < 50; i++) {
      agent.socket.write('{"type":"figures"}\nnot json\n[]\n\u0000\u0001\n');
      agent.say({ ...FIGURES, seq: i });
    }
    await waitFor(() => of('figures').length === 50, { what: 'what was said in between' });
    expect(server.counts().badLines).toBe(200);
    for (let i = 0; i < 20; i++) agent.socket.write('garbage\n');
    await closedSoon(agent);
    expect(log.filter(({ level }) => level === 'warn')).toHaveLength(2);
  });

  test('a line without an end costs its peer the connection and nobody else anything', async () => {
    const { server, of } = await listening();
    const good = peer();
    good.hello({ pid: livePid() });
    const endless = peer();
    endless.hello();
    const piece = Buffer.alloc(256 * 1024, 'x');
    for (let i = 0; i < 9; i++) endless.socket.write(piece);
    await closedSoon(endless);
    const beforeHello = peer();
    beforeHello.socket.write(Buffer.alloc(8 * 1024, 'x'));
    await closedSoon(beforeHello);
    good.say(FIGURES);
    await waitFor(() => of('figures').length === 1, { what: 'figures of the other' });
    expect(server.counts().connected).toBe(1);
  });

  test('many slow peers share one bounded memory', async () => {
    const { server } = await listening();
    const pids = Array.from({ length: 12 }, livePid);
    const slow = pids.map((pid) => {
      const one = peer();
      one.hello({ pid });
      return one;
    });
    await waitFor(() => server.counts().connected === 12, { what: 'all' });
    for (const { socket } of slow) socket.write(Buffer.alloc(1_900_000, 'x'));
    await waitFor(() => slow.some(({ closed }) => closed()), { what: 'one that finds no room' });
    expect(slow.filter(({ closed }) => !closed()).length).toBeGreaterThanOrEqual(8);
  });

  test('a flood of valid lines is slowed down to what its sender may say', async () => {
    const { of } = await listening();
    const agent = peer();
    agent.hello();
    const beganMs = performance.now();
    let seq = 0;
    for (let i = 0; i < 5_000; i++) agent.say({ ...FIGURES, seq: ++seq });
    const quiet = peer();
    const pid = livePid();
    quiet.hello({ pid });
    quiet.say(FIGURES);
    await waitFor(() => of('figures').some((one) => one.pid === pid), { what: 'the other in the meantime' });
    await waitFor(() => of('figures').length > 1_000, { what: 'the first of the flood' });
    const seconds = (performance.now() - beganMs) / 1_000;
    // A burst, what comes in one piece, and a hundred a second.
    expect(of('figures').length).toBeLessThan(1_000 + 150 + 100 * (seconds + 1));
  });

  test('two hundred agents that come at once, as after a restart of the supervisor, are all heard', async () => {
    const { server, of } = await listening();
    const pids = await livePids(200);
    for (const pid of pids) {
      const one = peer();
      one.hello({ pid });
      one.say(FIGURES);
    }
    await waitFor(() => of('figures').length === 200, { what: 'figures of all' });
    expect(server.counts()).toMatchObject({ connected: 200, refused: 0 });
  });

  test('ten thousand silent connections keep no agent out', async () => {
    const { server, log } = await listening();
    for (let came = 100; came <= 10_000; came += 100) {
      for (let i = 0; i < 100; i++) peer();
      // All but those that are still listened to: what the kernel's queue can't take would not count.
      await waitFor(() => server.counts().refused >= came - 256, { what: 'them to be heard', intervalMs: 1 });
    }
    const agent = peer();
    agent.hello();
    await waitFor(() => server.isConnected(process.pid), { what: 'the agent', deadlineMs: 20_000 });
    await waitFor(() => peers.filter(({ closed }) => !closed()).length <= 257, {
      what: 'the crowd to be sent away',
    });
    expect(agent.closed()).toBe(false);
    expect(log.filter(({ level }) => level === 'warn')).toHaveLength(1);
    expect(existsSync(path)).toBe(true);
  }, 40_000);

  test('who does not read what it is told is let go', async () => {
    const it = await listening();
    const deaf = peer();
    deaf.hello();
    await waitFor(() => it.server.isConnected(process.pid), { what: 'it' });
    deaf.socket.pause();
    for (let i = 0; i < 20_000 && it.server.isConnected(process.pid); i++) {
      it.settings = { ...it.settings, hangTimeoutMs: 1_000 + i };
      it.server.refresh();
    }
    expect(it.server.isConnected(process.pid)).toBe(false);
  });
});
