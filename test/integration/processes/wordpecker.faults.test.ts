/** The samples' faults and their starts, seen from outside: what other tests build on has to be true. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../support/privateServer.js';
import { call, Samples } from '../../support/sample.js';
import { waitFor } from '../../support/waitFor.js';

const samples = new Samples();
let folder: string;
let plain: Record<string, string>;
let faulty: Record<string, string>;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'holdfast-wordpecker-'));
  plain = { WORDPECKER_DB: path.join(folder, 'words.db') };
  faulty = { ...plain, ENABLE_FAULTS: 'true' };
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => samples.dispose());

/** User plus system time of the whole process so far; a clock tick is 10 ms. */
function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function residentMb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) / 1024;
}

describe('faults of a running instance', () => {
  it.each([25, 50, 80])('burn uses %i percent of a core and goes on answering', async (percent) => {
    const { sample, url } = await samples.start('backend', faulty);
    await call('GET', `${url}/api/health`); // whatever is loaded late is loaded now
    await call('POST', `${url}/debug/burn?ms=60000&percent=${percent}`);
    const measure = async (): Promise<number> => {
      const start = { cpu: cpuMs(sample.pid), at: performance.now() };
      await waitFor(() => performance.now() - start.at >= 2000, { what: 'two seconds of burning' });
      return ((cpuMs(sample.pid) - start.cpu) / (performance.now() - start.at)) * 100;
    };
    // On a machine that is starved for a while nothing can burn its share: measured again until it has room.
    const percents: number[] = [];
    await waitFor(
      async () => {
        percents.push(await measure());
        return Math.abs((percents.at(-1) ?? 0) - percent) <= 5;
      },
      { what: `${percent} percent, within 5`, deadlineMs: 90_000 },
    );
    expect((await call('GET', `${url}/health`)).status).toBe(200);
    await call('POST', `${url}/debug/burn?ms=0`);
    const before = cpuMs(sample.pid);
    await waitFor(() => call('GET', `${url}/health`), { what: 'an answer' });
    expect(cpuMs(sample.pid) - before).toBeLessThan(100);
  });

  it('block answers first, then keeps the main thread from answering anything', async () => {
    const { url } = await samples.start('backend', faulty);
    const startedMs = performance.now();
    expect((await call('POST', `${url}/debug/block?ms=1000`)).status).toBe(200);
    expect((await call('GET', `${url}/healthz`)).status).toBe(200);
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(1000);
  });

  it('leak grows resident memory and lets go of it', async () => {
    const { sample, url } = await samples.start('backend', faulty);
    const before = residentMb(sample.pid);
    await call('POST', `${url}/debug/leak?mbPerSecond=200`);
    await waitFor(() => residentMb(sample.pid) > before + 100, { what: '100 MB more' });
    const stopped = await call('POST', `${url}/debug/leak?mbPerSecond=0`);
    expect(stopped.body).toMatchObject({ heldMb: 0, ceilingMb: 768 });
  });

  it('exit answers first, then leaves with the code', async () => {
    const { sample, url } = await samples.start('backend', faulty);
    expect((await call('POST', `${url}/debug/exit?code=42`)).status).toBe(200);
    expect(await sample.exited).toEqual({ code: 42, signal: null });
  });

  it('the frontend has them too', async () => {
    const { url } = await samples.start('frontend', faulty);
    await call('POST', `${url}/debug/health?status=500`);
    expect((await call('GET', `${url}/health`)).status).toBe(500);
  });

  const outside = Object.values(os.networkInterfaces())
    .flat()
    .find((address) => address?.family === 'IPv4' && !address.internal)?.address;
  it.skipIf(outside === undefined)('do not exist for a client that is not on loopback', async () => {
    const { port } = await samples.start('backend', { ...faulty, HOST: '0.0.0.0' });
    const url = `http://${outside}:${port}`;
    expect((await call('GET', `${url}/health`)).status).toBe(200);
    expect(await call('POST', `${url}/debug/exit?code=1`)).toMatchObject({
      status: 404,
      body: { error: { code: 'route.unknown' } },
    });
    expect((await call('POST', `http://127.0.0.1:${port}/debug/health?status=200`)).status).toBe(200);
  });
});

describe('bad builds', () => {
  it('crash at their start', async () => {
    const sample = samples.spawn('backend', { ...faulty, FAULT_START: 'crash' });
    expect(await sample.exited).toEqual({ code: 1, signal: null });
    expect(sample.stderr).toContain('FAULT_START=crash');
  });

  it('run without ever listening, and leave on a signal', async () => {
    const port = String(await freePort());
    const sample = samples.spawn('backend', { ...faulty, PORT: port, FAULT_START: 'never-listen' });
    // A healthy one that starts later listens; by then this one would too.
    await samples.start('backend', plain);
    await expect(fetch(`http://127.0.0.1:${port}/health`)).rejects.toThrow();
    expect(sample.child.exitCode).toBeNull();
    sample.signal('SIGINT');
    expect((await sample.exited).code).not.toBe(1);
  });

  it('answer 500 to everything', async () => {
    const { url } = await samples.start('backend', { ...faulty, FAULT_START: 'status-500' });
    for (const path_ of ['/health', '/healthz', '/api/lists', '/api/status']) {
      expect((await call('GET', url + path_)).status).toBe(500);
    }
  });

  it('die some time after each start, as FAULT_FILE says at that start', async () => {
    const FAULT_FILE = path.join(folder, 'fault.json');
    writeFileSync(FAULT_FILE, '{"service": "wordpecker-backend", "FAULT_EXIT_AFTER_MS": 400}');
    const { sample, url } = await samples.start('backend', { ...faulty, FAULT_FILE });
    expect((await call('GET', `${url}/health`)).status).toBe(200);
    expect(await sample.exited).toEqual({ code: 1, signal: null });
    expect(sample.stderr).toContain('FAULT_EXIT_AFTER_MS=400');
    rmSync(FAULT_FILE);
    const fixed = await samples.start('backend', { ...faulty, FAULT_FILE });
    expect((await call('GET', `${fixed.url}/health`)).status).toBe(200);
  });

  it('are no such thing unless faults are enabled', async () => {
    const { url } = await samples.start('backend', { ...plain, FAULT_START: 'crash' });
    expect((await call('GET', `${url}/health`)).status).toBe(200);
    expect((await call('POST', `${url}/debug/exit?code=1`)).status).toBe(404);
  });
});

describe('a start that cannot succeed says why in one line and exits 1', () => {
  it('when the port is taken', async () => {
    const { port } = await samples.start('backend', plain);
    const second = samples.spawn('backend', { ...plain, PORT: String(port) });
    expect(await second.exited).toEqual({ code: 1, signal: null });
    expect(second.stderr).toBe(
      `wordpecker-backend cannot start: 127.0.0.1:${port} is already in use: stop what listens there or set PORT\n`,
    );
  });

  it('when settings are wrong, all of them named', async () => {
    const sample = samples.spawn('backend', { ...plain, PORT: 'http', SHUTDOWN_TIMEOUT_MS: '-1' });
    expect((await sample.exited).code).toBe(1);
    expect(sample.stderr).toContain('PORT is "http": give a whole number from 0 to 65535');
    expect(sample.stderr).toContain('SHUTDOWN_TIMEOUT_MS is "-1"');
  });

  it('when production has no session secret', async () => {
    const sample = samples.spawn('backend', { ...plain, NODE_ENV: 'production', SESSION_SECRET: '' });
    expect((await sample.exited).code).toBe(1);
    expect(sample.stderr).toContain('SESSION_SECRET is not set');
  });

  it('when MySQL has no port or Redis no URL, without showing it', async () => {
    const env = { ...plain, MYSQL_HOST: '127.0.0.1', MYSQL_PORT: 'sql', REDIS_CONN_STRING: 'hunter2' };
    const sample = samples.spawn('backend', env);
    expect((await sample.exited).code).toBe(1);
    expect(sample.stderr).toContain('REDIS_CONN_STRING is not a URL');
    expect(sample.stderr).toContain('MYSQL_PORT is "sql"');
    expect(sample.stderr).not.toContain('hunter2');
  });
});

describe('the frontend', () => {
  it('serves its pages and brings the backend to the same origin', async () => {
    const backend = await samples.start('backend', plain);
    const { url } = await samples.start('frontend', { BACKEND_URL: backend.url });
    for (const [page, title] of [
      ['/app', 'Wordpecker: learn words'],
      ['/ui', '<title>Wordpecker</title>'],
    ] as const) {
      const answer = await call('GET', url + page);
      expect(answer.status).toBe(200);
      expect(answer.body).toContain(title);
      expect(answer.headers.get('content-security-policy')).toContain("default-src 'self'");
      // Everything that the page asks for is there.
      for (const [, asset] of String(answer.body).matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)) {
        expect((await call('GET', url + asset)).status).toBe(200);
      }
    }
    const made = await call('POST', `${url}/api/lists`, { name: 'through the frontend' });
    expect((await call('GET', `${backend.url}/api/lists/${made.body.data.id}`)).status).toBe(200);
    expect((await call('GET', `${url}/api/status`)).body.name).toBe('wordpecker-frontend');
    // A gateway routes /api to the backend, and /app here: the landing page asks for both.
    expect((await call('GET', `${url}/app/status`)).body.name).toBe('wordpecker-frontend');
    expect((await call('GET', `${url}/api/health`)).body).toMatchObject({ status: 'healthy' });

    await backend.sample.dispose();
    expect((await call('GET', `${url}/api/lists`)).body.error.code).toBe('backend.unreachable');
    expect(await call('GET', `${url}/api/health`)).toMatchObject({
      status: 200,
      body: { status: 'degraded' },
    });
    expect((await call('GET', `${url}/health`)).status).toBe(200);
  });
});
