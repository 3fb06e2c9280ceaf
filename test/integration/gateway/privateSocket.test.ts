/** The channel of the gateway and the command line to a supervisor on the same machine: the real API over a control plane in memory. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startHarness, type Harness } from '../../../backend/src/api/testing/harness.js';
import { privateSocketAt } from '../../../backend/src/adapters/supervisor/privateSocket.js';
import { SupervisorAgent } from '../../../backend/src/adapters/supervisor/supervisorAgent.js';

const TOKEN = 'a-right-token-of-some-length';
const IS_ROOT = process.getuid?.() === 0;
const STRANGER = 65_534;

let dataDir: string;
let socketPath: string;
let harness: Harness | null = null;
let stranger: ChildProcess | null = null;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'hf-agent-'));
  chmodSync(dataDir, 0o755);
  socketPath = join(dataDir, 'run/api.sock');
});
afterEach(async () => {
  stranger?.kill('SIGKILL');
  await harness?.close();
  [harness, stranger] = [null, null];
  rmSync(dataDir, { recursive: true, force: true });
});

const start = async (token: string | null): Promise<Harness> => {
  harness = await startHarness({
    settings: { token, sessionSecret: 'x' },
    privateSocket: privateSocketAt(socketPath),
  });
  return harness;
};

/** @returns the status, or why there is none. */
function call(port: number, path: string, token: string | null = null): Promise<number | string> {
  const url = `http://127.0.0.1:${port}`;
  const agent = new SupervisorAgent({ url, token, local: { socketPath, dataDir } });
  const headers = token === null ? {} : { authorization: `Bearer ${token}` };
  return new Promise((resolve) => {
    const asked = request(`${url}${path}`, { agent, headers, method: 'POST' });
    asked.on('response', (answer) => resolve(answer.resume().statusCode ?? 0));
    asked.on('error', (error) => resolve(error.message));
    asked.end();
  });
}

/** Runs as another user. */
const asStranger = (code: string): ChildProcess =>
  spawn(
    'setpriv',
    [`--reuid=${STRANGER}`, `--regid=${STRANGER}`, '--clear-groups', process.execPath, '-e', code],
    { stdio: ['ignore', 'pipe', 'inherit'], cwd: '/' },
  );

const ANSWERS_ALL = `require('http').createServer((q, r) => { console.log(JSON.stringify(q.headers)); r.end('{}'); }).listen(0, '127.0.0.1', function () { console.log(this.address().port); })`;
/** Each connection is accepted by a listener that closes at once; another one follows. */
const LEAVES_AT_ONCE = `
  const net = require('net');
  let port = 0;
  function listen() {
    const server = net.createServer((socket) => {
      server.close();
      socket.on('error', () => undefined);
      socket.on('data', (chunk) => { console.log(chunk.toString()); socket.end('HTTP/1.1 200 OK\\r\\n\\r\\n'); });
    });
    server.on('close', () => undefined).on('error', () => setTimeout(listen, 1));
    server.listen(port, '127.0.0.1', () => {
      if (port === 0) console.log((port = server.address().port));
    });
    server.on('connection', () => setTimeout(listen, 1));
  }
  listen();`;

/** Another user listens on a free port of loopback. */
async function strangerListens(code = ANSWERS_ALL): Promise<number> {
  stranger = asStranger(code);
  const [line] = (await once(stranger.stdout!, 'data')) as [Buffer];
  return Number(line.toString());
}

describe('on the machine of the supervisor', () => {
  it('calls need no token: they go over a socket that only this user can open', async () => {
    const { port, controlPlane } = await start(TOKEN);
    expect(await call(port, '/api/ha/stop')).toBe(200);
    expect(controlPlane.events({ limit: 1 })[0]).toMatchObject({ data: { by: 'api:private-socket' } });
    expect((await harness!.call('POST', '/api/ha/stop')).status).toBe(401);
  });

  it('the port is taken where there is no socket, with the token', async () => {
    const { port } = await start(TOKEN);
    rmSync(socketPath);
    expect(await call(port, '/api/ha/stop')).toBe(401);
    expect(await call(port, '/api/ha/stop', TOKEN)).toBe(200);
  });

  it('nothing listens: the error is that of the port', async () => {
    const { port } = await start(null);
    await harness!.close();
    expect(await call(port, '/api/ha/stop')).toMatch(/ECONNREFUSED/);
  });

  it.skipIf(!IS_ROOT)(
    'what another user listens with on the port is shown nothing (needs root)',
    async () => {
      const port = await strangerListens();
      const seen: string[] = [];
      stranger!.stdout!.on('data', (chunk: Buffer) => seen.push(chunk.toString()));
      expect(await call(port, '/api/ha/stop', TOKEN)).toMatch(/belongs to user 65534 and is not believed/);
      expect(seen).toEqual([]);
    },
  );

  it.skipIf(!IS_ROOT)(
    'nor is one that gives its port up as soon as it has been called, and takes it again (needs root)',
    async () => {
      const port = await strangerListens(LEAVES_AT_ONCE);
      const seen: string[] = [];
      stranger!.stdout!.on('data', (chunk: Buffer) => seen.push(chunk.toString()));
      for (let turn = 0; turn < 100; turn += 1)
        expect(await call(port, '/', TOKEN)).toEqual(expect.any(String));
      expect(seen).toEqual([]);
    },
  );

  it('by the port only a connection to a listener that was looked at before carries a call', async () => {
    const bytes: Socket[] = [];
    const server = createServer((_, answer) => answer.end('{}')).listen(0, '127.0.0.1');
    server.on('connection', (socket) => bytes.push(socket));
    await once(server, 'listening');
    expect(await call((server.address() as AddressInfo).port, '/', TOKEN)).toBe(200);
    server.close();
    expect(bytes.map((socket) => socket.bytesRead > 0)).toEqual([false, true]);
  });

  it.skipIf(!IS_ROOT)('another user cannot open the socket (needs root)', async () => {
    await start(TOKEN);
    const code = `require('net').connect(${JSON.stringify(socketPath)}).on('error', (e) => process.stdout.write(e.code)).on('connect', () => process.stdout.write('open'))`;
    const other = asStranger(code);
    const [answer] = (await once(other.stdout!, 'data')) as [Buffer];
    other.kill('SIGKILL');
    expect(answer.toString()).toBe('EACCES');
  });
});
