/**
 * The graceful stop, of real processes: an application without any handler (support/apps/graceless.cjs) is asked to end
 * while all kinds of things are under way, directly and by PM2. The same without the agent shows what it is good for, and
 * applications with a handler of their own that it changes nothing for them.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, get, request } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { get as getTls } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { RpcClient } from '../../../backend/src/adapters/pm2/rpcClient.js';
import { repository } from '../../support/deployment.js';
import { makeCertificate } from '../../support/certificates.js';
import { Graceless, gracelessApp, noSupervisor, preload, type Ending } from '../../support/graceless.js';
import { cleanEnv, createPm2Home, freePortRange, isAlive, waitFor, type Pm2Home } from '../../support/pm2.js';
import { RawClient } from '../../support/rawHttp.js';

let folder: string;
const started: Graceless[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-stop-'));
  await makeCertificate(folder, 'own', { names: ['localhost'] });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => {
  for (const each of started.splice(0)) each.dispose();
});

async function start(...options: Parameters<typeof Graceless.start>): Promise<Graceless> {
  const [env, more] = options;
  const tls = { TLS_KEY: join(folder, 'own.key'), TLS_CERT: join(folder, 'own.crt') };
  const application = await Graceless.start({ ...tls, ...env }, more);
  started.push(application);
  return application;
}

interface Answer {
  readonly status: number;
  readonly connection: string | undefined;
  readonly body: string;
}

/** One GET; rejects when the connection breaks at any moment. `begun` resolves with the head. */
function ask(
  port: number,
  path: string,
  { agent, tls = false }: { agent?: Agent; tls?: boolean } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port,
      path,
      timeout: 30_000,
      ...(agent === undefined ? {} : { agent }),
    };
    const call = tls ? getTls({ ...options, rejectUnauthorized: false }) : get(options);
    call.once('response', (response) => {
      let body = '';
      response.setEncoding('latin1');
      response.on('data', (chunk: string) => (body += chunk));
      response.once('error', reject);
      response.once('end', () =>
        resolve({ status: response.statusCode!, connection: response.headers.connection, body }),
      );
    });
    call.once('error', reject);
    call.once('timeout', () => call.destroy(new Error('no answer in 30 s')));
  });
}

/** SIGINT, and SIGKILL for who is still there then: on a busy machine that comes later, as everything does. */
async function stopAsPm2(application: Graceless, killTimeoutMs: number): Promise<Ending> {
  application.signal('SIGINT');
  const kill = setTimeout(() => application.dispose(), killTimeoutMs);
  const ending = await application.ended();
  clearTimeout(kill);
  return ending;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('what is under way', () => {
  it('is answered, with "Connection: close" where the head is not out yet', async () => {
    const application = await start({ SERVERS: 'http,http' });
    const keepAlive = new Agent({ keepAlive: true });
    const [first, second] = application.ports as [number, number];
    const answers = [
      ask(first, '/slow?ms=900', { agent: keepAlive }),
      ask(first, '/early?ms=800', { agent: keepAlive }),
      ask(second, '/slow?ms=700', { agent: keepAlive }),
      ask(second, '/large?bytes=30000000', { agent: keepAlive }),
    ];
    await application.reached('/slow', '/early', '/large');
    application.signal();
    const [slow, early, other, large] = await Promise.all(answers);
    expect(slow).toMatchObject({ status: 200, body: 'slow', connection: 'close' });
    expect(early).toMatchObject({ status: 200, body: 'early and late' });
    expect(other).toMatchObject({ status: 200, body: 'slow', connection: 'close' });
    expect(large!.body).toHaveLength(30_000_000);
    expect(await application.ended()).toMatchObject({ code: null, signal: 'SIGINT' });
    keepAlive.destroy();
  });

  it('is lost without the agent', async () => {
    const application = await start({}, { agent: false });
    const answer = ask(application.port, '/slow?ms=900');
    await application.reached('/slow');
    application.signal();
    await expect(answer).rejects.toThrow(/ECONNRESET|socket hang up/);
    expect(await application.ended()).toMatchObject({ code: null, signal: 'SIGINT' });
  });

  it('may be an upload that goes on for a while', async () => {
    const application = await start();
    const call = request({ host: '127.0.0.1', port: application.port, path: '/upload', method: 'POST' });
    const response = once(call, 'response');
    const chunk = Buffer.alloc(10_000, 'x');
    call.write(chunk);
    await application.reached('/upload');
    application.signal();
    for (let sent = 1; sent < 8; sent += 1) {
      await pause(100);
      call.write(chunk);
    }
    call.end();
    const [answer] = (await response) as [AsyncIterable<Buffer>];
    let body = '';
    for await (const part of answer) body += part.toString();
    expect(body).toBe('80000');
    expect(await application.ended()).toMatchObject({ signal: 'SIGINT' });
  });

  it('may be pipelined: all are answered, and only the last says "close"', async () => {
    const application = await start();
    const client = new RawClient(application.port);
    client.send([600, 300, 100].map((ms) => `GET /slow?ms=${ms} HTTP/1.1\r\nhost: x\r\n\r\n`).join(''));
    await application.reached('/slow');
    application.signal();
    const text = await client.untilEnded();
    expect(text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(3);
    expect(text.match(/^connection: .*$/gim)).toEqual([
      'Connection: keep-alive',
      'Connection: keep-alive',
      'Connection: close',
    ]);
    expect(await application.ended()).toMatchObject({ signal: 'SIGINT' });
  });

  it('ends at its deadline when it never does by itself, before PM2 would kill', async () => {
    const application = await start({ pm_id: '0', kill_timeout: '3000' });
    const events = new RawClient(application.port);
    events.send('GET /events HTTP/1.1\r\nhost: x\r\n\r\n');
    await events.until('data: tick');
    const { signal, tookMs } = await stopAsPm2(application, 3_000);
    expect(signal).toBe('SIGINT');
    expect(tookMs).toBeGreaterThan(2_000);
  });

  it('may be on TLS, on HTTP/2, on both, or in a protocol that nobody can read', async () => {
    const application = await start({ SERVERS: 'https,http2,http2s,net' });
    const [https, http2, http2s, net] = application.ports as [number, number, number, number];
    const lines = new RawClient(net);
    lines.send('wait 700\n');
    const answers = Promise.all([
      ask(https, '/slow?ms=700', { tls: true }),
      askHttp2(`http://127.0.0.1:${http2}`, '/slow?ms=700'),
      askHttp2(`https://127.0.0.1:${http2s}`, '/slow?ms=700'),
      lines.until('done\n'),
    ]);
    await waitFor(() => application.lines.filter(({ request: path }) => path === '/slow').length === 3, {
      what: 'all requests to reach the application',
    });
    await application.reached('wait');
    application.signal();
    const [overTls, overHttp2, overBoth] = await answers;
    expect(overTls).toMatchObject({ body: 'slow', connection: 'close' });
    expect(overHttp2).toEqual({ body: 'slow', goaway: true });
    expect(overBoth).toEqual({ body: 'slow', goaway: true });
    expect(await application.ended()).toMatchObject({ signal: 'SIGINT' });
  });
});

/** One stream on a session of its own, and whether the server said that it goes. */
async function askHttp2(origin: string, path: string): Promise<{ body: string; goaway: boolean }> {
  const session = connectHttp2(origin, { rejectUnauthorized: false });
  let goaway = false;
  session.on('goaway', () => (goaway = true));
  session.on('error', () => {});
  const closed = once(session, 'close');
  const stream = session.request({ ':path': path });
  let body = '';
  for await (const chunk of stream) body += String(chunk);
  await closed;
  return { body, goaway };
}

describe('connections', () => {
  it('that are idle are closed while others are still at work', async () => {
    const application = await start();
    const idle = new RawClient(application.port);
    idle.send('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    await idle.until('hello');
    const silent = new RawClient(application.port);
    let isAnswered = false;
    const slow = ask(application.port, '/slow?ms=2000').then(() => (isAnswered = true));
    await application.reached('/slow');
    application.signal();
    await Promise.all([idle.untilEnded(), silent.untilEnded()]);
    expect(isAnswered).toBe(false);
    expect([idle.problem, silent.problem]).toEqual(['', '']);
    await slow;
    expect(await application.ended()).toMatchObject({ signal: 'SIGINT' });
  });

  it('are accepted no more', async () => {
    const application = await start();
    const slow = ask(application.port, '/slow?ms=1200');
    await application.reached('/slow');
    application.signal();
    await waitFor(
      () =>
        ask(application.port, '/').then(
          () => false,
          (error) => error.code === 'ECONNREFUSED',
        ),
      {
        what: 'a refusal',
      },
    );
    expect(await slow).toMatchObject({ body: 'slow' });
  });

  it('of WebSockets are told that the server goes away, with and without TLS', async () => {
    const application = await start({ SERVERS: 'http,https' });
    const [plain, tls] = application.ports as [number, number];
    const sockets = [
      ...Array.from({ length: 20 }, () => new WebSocket(`ws://127.0.0.1:${plain}`)),
      new WebSocket(`wss://127.0.0.1:${tls}`, { rejectUnauthorized: false }),
    ];
    await Promise.all(sockets.map((socket) => once(socket, 'open')));
    sockets[0]!.send('last words');
    const echo = once(sockets[0]!, 'message');
    const codes = Promise.all(sockets.map(async (socket) => ((await once(socket, 'close')) as [number])[0]));
    application.signal();
    expect(String((await echo)[0])).toBe('last words');
    expect(await codes).toEqual(sockets.map(() => 1001));
    expect(await application.ended()).toMatchObject({ signal: 'SIGINT' });
    expect(application.lines.filter(({ webSocketClosed }) => webSocketClosed === 1001)).toHaveLength(21);
  });

  it('of a WebSocket that does not answer hold nothing up for long', async () => {
    const application = await start();
    const client = new RawClient(application.port);
    client.send(
      'GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n' +
        'sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    );
    await client.until('\r\n\r\n');
    const { signal, tookMs } = await application.signal().ended();
    expect(client.received.slice(client.received.indexOf('\r\n\r\n') + 4)).toBe('\x88\x02\x03\xe9');
    expect(signal).toBe('SIGINT');
    expect(tookMs).toBeLessThan(8_000); // far from the 9 s that the stop may take at most
  });
});

describe('the end', () => {
  it('is the one it would have been: by the signal, without an "exit" event', async () => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      const endings = await Promise.all(
        [true, false].map(async (agent) => {
          const application = await start({}, { agent });
          const { code, signal: by } = await application.signal(signal).ended();
          return { code, by, lines: application.lines.slice(1) };
        }),
      );
      expect(endings[0]).toEqual(endings[1]);
      expect(endings[1]).toEqual({ code: null, by: signal, lines: [] });
    }
  });

  it('comes at once where nothing is served', async () => {
    const script = join(folder, 'worker.cjs');
    writeFileSync(script, 'console.log(JSON.stringify({ listening: [1] })); setInterval(() => {}, 1000);');
    const application = await start({}, { script });
    const { signal, tookMs } = await application.signal().ended();
    expect(signal).toBe('SIGINT');
    expect(tookMs).toBeLessThan(4_000);
  });

  it('comes at once with a second signal', async () => {
    const application = await start();
    const slow = ask(application.port, '/slow?ms=8000');
    slow.catch(() => {});
    await application.reached('/slow');
    application.signal();
    await waitFor(
      () =>
        ask(application.port, '/').then(
          () => false,
          () => true,
        ),
      { what: 'the stop to begin' },
    );
    const { signal, tookMs } = await application.signal().ended();
    expect(signal).toBe('SIGINT');
    expect(tookMs).toBeLessThan(4_000);
    await expect(slow).rejects.toThrow();
  });

  it('is the application’s own affair from a signal on that it handles, also in the middle of a stop', async () => {
    const application = await start({ HANDLER: 'term' });
    const slow = ask(application.port, '/slow?ms=200');
    const endless = ask(application.port, '/slow?ms=60000');
    endless.catch(() => {});
    await waitFor(() => application.lines.length === 3, { what: 'both requests to reach the application' });
    application.signal('SIGINT');
    expect(await slow).toMatchObject({ connection: 'close' });
    expect(await application.signal('SIGTERM').ended()).toMatchObject({ code: 7, signal: null });
    expect(application.lines.filter(({ handler }) => handler === 'term')).toHaveLength(1);
    await expect(endless).rejects.toThrow();
  });

  it.each(['on', 'once', 'prependOnce', 'late', 'again', 'alone'])(
    'is the application’s own affair when it has a handler: %s',
    async (handler) => {
      const endings = await Promise.all(
        [true, false].map(async (agent) => {
          const application = await start({ HANDLER: handler }, { agent });
          if (handler === 'late') await application.reached('late');
          const slow = ask(application.port, '/slow?ms=1500').then(
            () => 'answered',
            () => 'reset',
          );
          await application.reached('/slow');
          const { code, signal } = await application.signal().ended();
          return { code, signal, slow: await slow, lines: application.lines.slice(1) };
        }),
      );
      expect(endings[0]).toEqual(endings[1]);
      expect(endings[0]!.slow).toBe('reset');
    },
  );

  it('is told to the supervisor, who says how much time there is', async () => {
    const path = join(folder, 'agents.sock');
    const said: Record<string, unknown>[] = [];
    const server = createServer((socket) => {
      let text = '';
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        text += chunk.toString();
        const lines = text.split('\n');
        text = lines.pop() ?? '';
        said.push(...lines.map((line) => JSON.parse(line) as Record<string, unknown>));
        if (said.length === 1) {
          const welcome = {
            type: 'welcome',
            protocol: 1,
            hangTimeoutMs: 1_000,
            intervalMs: 100,
            killTimeoutMs: 3_000,
          };
          socket.write(`${JSON.stringify(welcome)}\n`);
        }
      });
    });
    server.listen(path);
    try {
      const application = await start({ HOLDFAST_AGENT_SOCKET: path });
      await waitFor(() => said.filter(({ type }) => type === 'figures').length > 2, { what: 'figures' });
      const slow = ask(application.port, '/slow?ms=8000');
      slow.catch(() => {});
      await application.reached('/slow');
      const { signal, tookMs } = await stopAsPm2(application, 3_000);
      expect(said).toContainEqual({ type: 'stopping', signal: 'SIGINT', draining: true });
      expect(signal).toBe('SIGINT');
      expect(tookMs).toBeGreaterThan(2_000);
    } finally {
      server.close();
    }
  });
});

it('a worker of a cluster leaves no connection behind that its primary has yet to hand out', async () => {
  const primary = spawn(process.execPath, [join(repository, 'test/support/apps/clusterPrimary.cjs')], {
    env: cleanEnv({
      HOLDFAST_AGENT_SOCKET: noSupervisor,
      SCRIPT: gracelessApp,
      EXEC_ARGV: JSON.stringify(['--require', preload]),
    }),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const [line] = (await once(primary.stdout, 'data')) as [Buffer];
    const { port, workers } = JSON.parse(line.toString()) as { port: number; workers: [number, number] };
    for (const _ of workers) await ask(port, '/');
    // As long as a busy daemon may take to read that a worker wants no more, and longer than that worker needs to end.
    primary.kill('SIGSTOP');
    process.kill(workers[0], 'SIGINT');
    const answers = Array.from({ length: 20 }, () => ask(port, '/'));
    await pause(1_000);
    primary.kill('SIGCONT');
    const bodies = (await Promise.all(answers)).map(({ body }) => body);
    expect(bodies).toEqual(answers.map(() => 'hello'));
    await waitFor(() => !isAlive(workers[0]), { what: 'the worker to end' });
  } finally {
    primary.kill('SIGKILL');
  }
});

interface Count {
  answered: number;
  /** Told to take another connection. */
  told: number;
  refused: number;
  readonly lost: string[];
}

interface Client {
  /** Whether it keeps its connection, or takes a new one for each request. */
  readonly keepAlive: boolean;
  readonly minMs: number;
  readonly maxMs: number;
  readonly until?: AbortSignal;
  /** Whether it looks for another server when it is told that this connection ends, as a load balancer does. */
  readonly leavesWhenTold?: boolean;
}

/** Asks again and again, until nobody accepts another connection or it is told to stop. */
async function insist(port: number, count: Count, client: Client): Promise<void> {
  const { keepAlive, minMs, maxMs, until, leavesWhenTold } = client;
  const agent = new Agent({ keepAlive, maxSockets: 1 });
  while (until?.aborted !== true) {
    const path = `/slow?ms=${minMs + Math.floor(Math.random() * (maxMs - minMs))}`;
    try {
      const { body, connection } = await ask(port, path, { agent });
      if (body !== 'slow') count.lost.push(`cut: ${body}`);
      count.answered += 1;
      if (keepAlive && connection === 'close') count.told += 1;
      if (connection === 'close' && leavesWhenTold === true) break;
    } catch (error) {
      const { code = String(error) } = error as NodeJS.ErrnoException;
      if (code === 'ECONNREFUSED') count.refused += 1;
      else count.lost.push(code);
      break;
    }
  }
  agent.destroy();
}

it('a stop resets none of many new connections', async ({ skip }) => {
  skip(process.platform !== 'linux');
  const CLIENTS = 40;
  const application = await start({ QUIET: '1' });
  const count: Count = { answered: 0, told: 0, refused: 0, lost: [] };
  const clients = Array.from({ length: CLIENTS }, () =>
    insist(application.port, count, { keepAlive: false, minMs: 0, maxMs: 5 }),
  );
  await waitFor(() => count.answered >= 10 * CLIENTS, { what: 'load' });
  await stopAsPm2(application, 10_000);
  await Promise.all(clients);
  expect({ lost: count.lost, refused: count.refused }).toEqual({ lost: [], refused: CLIENTS });
});

async function startApp(pm2: Pm2Home, agent: boolean, app: object): Promise<void> {
  const definition = {
    ...{ script: gracelessApp, cwd: pm2.home, kill_timeout: 10_000, pmx: false, vizion: false },
    ...(agent ? { node_args: ['--require', preload] } : {}),
    env: { QUIET: '1', ...(agent ? { HOLDFAST_AGENT_SOCKET: noSupervisor } : {}) },
    ...app,
  };
  const file = join(pm2.home, 'ecosystem.config.cjs');
  writeFileSync(file, `module.exports = ${JSON.stringify({ apps: [definition] })}`);
  await pm2.pm2('start', file);
}

describe.each(['fork', 'cluster'] as const)('under PM2, in %s mode', (mode) => {
  const CLIENTS = 4;
  // In cluster mode it is PM2's daemon that accepts: what it has accepted for a worker that has just stopped listening it
  // keeps for ever, and no worker can do anything about that. In fork mode nobody has to know.
  const leavesWhenTold = mode === 'cluster';
  const client: Client = { keepAlive: true, minMs: 200, maxMs: 1_000, leavesWhenTold };
  let pm2: Pm2Home;
  let rpc: RpcClient;

  beforeAll(() => {
    pm2 = createPm2Home();
    rpc = new RpcClient({ socketPath: join(pm2.home, 'rpc.sock') });
  });
  afterAll(async () => {
    rpc.close();
    await pm2.dispose();
  });

  /** Starts instances, puts load on each, stops all of them, and says what became of the requests. */
  async function stopUnderLoad(name: string, instances: number, agent: boolean): Promise<Count> {
    const firstPort = await freePortRange(instances);
    await startApp(pm2, agent, { name, exec_mode: mode, instances, increment_var: 'PORT', port: firstPort });
    const ports = Array.from({ length: instances }, (_, at) => firstPort + at);
    for (const port of ports) await waitFor(() => ask(port, '/'), { what: `an answer on port ${port}` });
    const count: Count = { answered: 0, told: 0, refused: 0, lost: [] };
    const clients = ports.flatMap((port) =>
      Array.from({ length: CLIENTS }, () => insist(port, count, client)),
    );
    await waitFor(() => count.answered >= ports.length * CLIENTS, { what: 'load', deadlineMs: 30_000 });
    const ids = (await pm2.jlist()).filter((row) => row.name === name).map((row) => row.pm_id);
    await Promise.all(ids.map((id) => rpc.call('stopProcessId', id, 30_000)));
    await Promise.all(clients);
    return count;
  }

  it('15 stops under load reset no request', async () => {
    const count = await stopUnderLoad('with-agent', 15, true);
    console.log(
      `${mode}: 15 stops, ${count.answered} answered, ${count.refused} refused, ${count.lost.length} lost`,
    );
    expect(count.lost).toEqual([]);
    expect(leavesWhenTold ? count.told : count.refused).toBe(15 * CLIENTS);
  });

  it('without the agent they do', async () => {
    const count = await stopUnderLoad('without-agent', 3, false);
    expect(count.lost.length).toBeGreaterThan(0);
  });
});

describe('workers of PM2 that share a port', () => {
  it('are reloaded without losing a request', async () => {
    const pm2 = createPm2Home();
    try {
      const port = await freePortRange(1);
      await startApp(pm2, true, { name: 'shared', exec_mode: 'cluster', instances: 2, port });
      const stopping = new AbortController();
      const count: Count = { answered: 0, told: 0, refused: 0, lost: [] };
      const client = { minMs: 0, maxMs: 300, until: stopping.signal };
      await waitFor(() => ask(port, '/'), { what: 'an answer' });
      const clients = Array.from({ length: 16 }, (_, at) =>
        insist(port, count, { ...client, keepAlive: at % 2 === 0 }),
      );
      await pm2.pm2('reload', 'shared');
      await pm2.pm2('reload', 'shared');
      stopping.abort();
      await Promise.all(clients);
      console.log(`two reloads: ${count.answered} answered, ${count.lost.length} lost`);
      expect(count).toMatchObject({ refused: 0, lost: [] });
      expect(count.answered).toBeGreaterThan(100);
    } finally {
      await pm2.dispose();
    }
  });
});
