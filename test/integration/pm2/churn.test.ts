/**
 * The whole promise at once: requests through the gateway while instances are scaled away, replaced, rolled and killed.
 * `CHURN=full npx vitest run test/integration/pm2/churn.test.ts` makes it 50 scale-downs, 20 failovers, 10 deploys and
 * 20 kills, every night; the everyday run makes a tenth of that.
 */
import { Agent, request } from 'node:http';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { GatewayStatus } from '../../../backend/src/gateway/pages/statusSchema.js';
import { BACKEND, Deployment, QUICK_ROLLS } from '../../support/deployment.js';
import { sendSignal } from '../../support/processes.js';
import { waitFor } from '../../support/waitFor.js';

const SHARE = process.env['CHURN'] === 'full' ? 1 : 0.1;
const CLIENTS = 8;

let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({
    ...QUICK_ROLLS,
    LB_ALGORITHM: 'round-robin',
  });
});

afterAll(() => deployment.dispose());

interface Tally {
  readonly method: 'GET' | 'POST';
  sent: number;
  answered: number;
  readonly failed: string[];
}

/** Sends one request after the other until told to stop; every answer must be the one to its own request. */
async function client(tally: Tally, agent: Agent, number: number, isOver: () => boolean): Promise<void> {
  for (let turn = 0; !isOver(); turn++) {
    const id = `${tally.method.toLowerCase()}-${number}-${turn}`;
    tally.sent += 1;
    const problem = await send(tally.method, agent, id);
    if (problem === null) tally.answered += 1;
    else tally.failed.push(`${id}: ${problem}`);
  }
}

function send(method: 'GET' | 'POST', agent: Agent, id: string): Promise<string | null> {
  const body = method === 'POST' ? JSON.stringify({ user: id }) : '';
  const path = method === 'POST' ? '/api/login' : `/debug/slow?ms=${10 + (id.length % 7) * 10}`;
  return new Promise((resolve) => {
    let answers = 0;
    const call = request(
      {
        host: '127.0.0.1',
        port: deployment.gatewayPort,
        method,
        path,
        agent,
        timeout: 30_000,
        headers: {
          'x-request-id': id,
          ...(body === ''
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
        },
      },
      (answer) => {
        answers += 1;
        let text = '';
        answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
        answer.once('end', () => {
          if (answers > 1) return resolve('answered twice');
          if (answer.statusCode !== 200) return resolve(`HTTP ${answer.statusCode} ${text.slice(0, 200)}`);
          // A login answers with the user's name: somebody else's answer would show.
          return resolve(
            method === 'POST' && !text.includes(id) ? `not the answer to it: ${text.slice(0, 200)}` : null,
          );
        });
        answer.once('error', (error) => resolve(`cut: ${error.message}`));
      },
    );
    call.once('timeout', () => call.destroy(new Error('no answer in 30 s')));
    call.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    call.end(body);
  });
}

/** Waits until the gateway sends traffic to two upstreams. */
async function gatewayKnowsBoth(): Promise<void> {
  await waitFor(
    async () => {
      const answer = await fetch(`http://127.0.0.1:${deployment.gatewayPort}/lb/status`);
      const { pools } = (await answer.json()) as GatewayStatus;
      const upstreams = pools[0]!.upstreams;
      return upstreams.length === 2 && upstreams.every(({ state }) => state === 'up');
    },
    { what: 'two upstreams behind the gateway', deadlineMs: 20_000 },
  );
}

async function churn(kind: 'graceful' | 'kill'): Promise<void> {
  const times = (count: number): number => Math.ceil(count * SHARE);
  if (kind === 'kill') {
    for (let i = 0; i < times(20); i++) {
      const victims = (await deployment.instances()).filter(({ serving }) => serving);
      const victim = victims[i % victims.length]!;
      sendSignal(victim.pid!, 'SIGKILL');
      await deployment.until('two other processes to serve', ({ services }) => {
        const { instances, serving } = services.find(({ name }) => name === BACKEND)!;
        return serving === 2 && !instances.some(({ pid }) => pid === victim.pid);
      });
      await gatewayKnowsBoth();
    }
    return;
  }
  const call = async (path: string, body: unknown): Promise<void> => {
    const answer = await deployment.post(path, body);
    expect(answer.status, JSON.stringify(answer.error)).toBe(200);
  };
  for (let i = 0; i < times(50); i++) {
    await call('scale-up', { targetInstances: 3 });
    await call('scale-down', { targetInstances: 2 });
  }
  for (let i = 0; i < times(20); i++) await call('failover', { serviceName: BACKEND });
  for (let i = 0; i < times(10); i++) await call('deploy', { serviceName: BACKEND });
}

async function under(kind: 'graceful' | 'kill'): Promise<readonly Tally[]> {
  const tallies: readonly Tally[] = (['GET', 'POST'] as const).map((method) => ({
    method,
    sent: 0,
    answered: 0,
    failed: [],
  }));
  const agent = new Agent({ keepAlive: true });
  let over = false;
  await gatewayKnowsBoth();
  const clients = tallies.flatMap((tally) =>
    Array.from({ length: CLIENTS }, (_, number) => client(tally, agent, number, () => over)),
  );
  await waitFor(() => tallies.every(({ answered }) => answered > 10), { what: 'the first answers' });
  try {
    await churn(kind);
  } finally {
    over = true;
    await Promise.all(clients);
    agent.destroy();
  }
  for (const { method, sent, failed } of tallies) {
    console.log(`${kind}: ${sent} ${method}, ${failed.length} failed`);
  }
  return tallies;
}

it('loses nothing, POST included, while instances are scaled away, replaced and rolled', async () => {
  for (const { failed, answered } of await under('graceful')) {
    expect(failed).toEqual([]);
    expect(answered).toBeGreaterThan(1_000);
  }
}, 600_000);

it('loses no idempotent request while instances are killed, and answers none twice', async () => {
  const [gets, posts] = await under('kill');
  expect(gets!.failed).toEqual([]);
  // What was under way to a killed process may have been done: a POST is not repeated, and says so.
  for (const failure of posts!.failed) expect(failure).toMatch(/HTTP 50[234]|ECONNRESET|cut/);
  await deployment.untilWhole(BACKEND, 2);
}, 600_000);
