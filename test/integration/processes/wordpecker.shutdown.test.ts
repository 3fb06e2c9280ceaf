/** A sample that is told to leave breaks nothing: seen from outside, with real sockets and signals. */
import http from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { GroupClient } from '../../support/groupClient.js';
import { call, Samples } from '../../support/sample.js';
import { waitFor } from '../../support/waitFor.js';

const samples = new Samples();
let folder: string;
let env: Record<string, string>;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'holdfast-shutdown-'));
  env = { WORDPECKER_DB: path.join(folder, 'words.db'), ENABLE_FAULTS: 'true' };
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => samples.dispose());

interface Outcome {
  readonly status: number | null;
  readonly connection: string | undefined;
  /** The error's code when there was no whole answer. */
  readonly error: string | null;
  /** Whether it used a connection that had carried a request before. */
  readonly reused: boolean;
}

function get(url: string, agent: http.Agent): Promise<Outcome> {
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException): void =>
      resolve({
        status: null,
        connection: undefined,
        error: error.code ?? error.message,
        reused: request.reusedSocket,
      });
    const request = http.get(url, { agent }, (answer) => {
      answer.on('error', failed);
      answer.resume();
      answer.on('end', () =>
        resolve({
          status: answer.statusCode ?? null,
          connection: answer.headers.connection,
          error: null,
          reused: request.reusedSocket,
        }),
      );
    });
    request.on('error', failed);
  });
}

describe.each(['SIGINT', 'SIGTERM'] as const)('%s', (signal) => {
  it('lets 100 requests in flight finish, says close to each, and exits 0', async () => {
    const { sample, url } = await samples.start('backend', env);
    const agent = new http.Agent({ keepAlive: true });
    const answers = Array.from({ length: 100 }, () => get(`${url}/debug/slow?ms=1500`, agent));
    // All are being worked on before the signal goes out: the instance says so itself.
    await waitFor(async () => (await call('GET', `${url}/api/status`)).body.requestsInFlight >= 101, {
      what: '100 requests in flight',
    });
    sample.signal(signal);
    const outcomes = await Promise.all(answers);
    expect(outcomes).toHaveLength(100);
    expect(new Set(outcomes.map((outcome) => JSON.stringify(outcome)))).toEqual(
      new Set([JSON.stringify({ status: 200, connection: 'close', error: null, reused: false })]),
    );
    expect(await sample.exited).toEqual({ code: 0, signal: null });
    agent.destroy();
  });
});

describe('keep-alive clients that never stop asking', () => {
  it('see no request broken: their last answer says close, then nobody listens', async () => {
    for (let round = 0; round < 3; round += 1) {
      const { sample, url } = await samples.start('backend', env);
      const agents: http.Agent[] = [];
      let answered = 0;
      const client = async (): Promise<Outcome[]> => {
        const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
        agents.push(agent);
        const outcomes: Outcome[] = [];
        for (;;) {
          const outcome = await get(`${url}/api/status`, agent);
          outcomes.push(outcome);
          answered += 1;
          if (outcome.error !== null) return outcomes;
        }
      };
      const running = Array.from({ length: 20 }, client);
      await waitFor(() => answered > 500, { what: 'traffic' });
      sample.signal('SIGINT');
      const all = await Promise.all(running);
      for (const outcomes of all) {
        // The only failure is a new connection once the listener is gone, after an answer that said close.
        // (Reset instead of refused: the kernel had completed it in the very moment of closing.)
        expect(outcomes.at(-1)?.error).toMatch(/^ECONN(REFUSED|RESET)$/);
        expect(outcomes.at(-1)?.reused).toBe(false);
        expect(outcomes.slice(0, -1).filter(({ error }) => error !== null)).toEqual([]);
        expect(outcomes.at(-2)).toMatchObject({ status: 200, connection: 'close' });
      }
      expect(await sample.exited).toEqual({ code: 0, signal: null });
      for (const agent of agents) agent.destroy();
    }
  });
});

describe('leaving', () => {
  it('closes an idle connection with FIN, not with a reset', async () => {
    const { sample, port } = await samples.start('backend', env);
    const socket = net.connect(port, '127.0.0.1');
    const events: string[] = [];
    socket.on('error', (error: NodeJS.ErrnoException) => events.push(String(error.code)));
    socket.on('end', () => events.push('end'));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    // It is idle after an answer. Before one, the kernel may hold a connection that the process has not accepted.
    socket.write('GET /health HTTP/1.1\r\nhost: x\r\n\r\n');
    await new Promise((resolve) => socket.once('data', resolve));
    sample.signal('SIGINT');
    await closed;
    expect(events).toEqual(['end']);
    expect(await sample.exited).toEqual({ code: 0, signal: null });
  });

  it('says goodbye to WebSockets with 1001', async () => {
    const { sample, url } = await samples.start('backend', env);
    const client = await GroupClient.connect(`${url}/ws`);
    sample.signal('SIGTERM');
    expect(await client.closed).toMatchObject({ code: 1001 });
    expect(await sample.exited).toEqual({ code: 0, signal: null });
  });

  it('takes PM2\'s message "shutdown" for a signal', async () => {
    const { sample } = await samples.start('frontend', env);
    sample.child.send('shutdown');
    expect(await sample.exited).toEqual({ code: 0, signal: null });
  });

  it('gives up after SHUTDOWN_TIMEOUT_MS', async () => {
    const { sample, url } = await samples.start('backend', { ...env, SHUTDOWN_TIMEOUT_MS: '300' });
    const agent = new http.Agent();
    const answer = get(`${url}/debug/slow?ms=60000`, agent);
    await waitFor(async () => (await call('GET', `${url}/api/status`)).body.requestsInFlight >= 2, {
      what: 'the slow request',
    });
    sample.signal('SIGINT');
    expect(await sample.exited).toEqual({ code: 1, signal: null });
    expect(sample.stderr).toContain('still busy 300 ms (SHUTDOWN_TIMEOUT_MS) after SIGINT');
    expect((await answer).error).not.toBeNull();
  });

  it('leaves at once on a second signal', async () => {
    const { sample, url } = await samples.start('backend', env);
    const answer = get(`${url}/debug/slow?ms=60000`, new http.Agent());
    await waitFor(async () => (await call('GET', `${url}/api/status`)).body.requestsInFlight >= 2, {
      what: 'the slow request',
    });
    // Repeated until it counts: within half a second of the first it is taken for the same signal.
    const repeat = setInterval(() => sample.signal('SIGINT'), 100);
    expect(await sample.exited).toEqual({ code: 1, signal: null });
    clearInterval(repeat);
    expect(sample.stderr).toContain('second signal (SIGINT), leaving at once');
    await answer;
  });
});
