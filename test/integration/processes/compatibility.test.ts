/**
 * Every row of docs/reference/compatibility.md that takes processes: one gateway and one group of sample backends, as two
 * terminals run them, without PM2. The other rows: test/house/compatibility.test.ts. A row without a test does not
 * compile.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMPATIBILITY, type CompatibilityId } from '../../../backend/src/compatibility.js';
import { GatewayHome } from '../../support/gatewayProcess.js';
import { freePortRange } from '../../support/ports.js';
import { waitFor } from '../../support/waitFor.js';

const cli = fileURLToPath(new URL('../../../backend/dist/cli.js', import.meta.url));
const INSTANCES = 3;

let home: GatewayHome;
let firstPort: number;
const running: ClusterTerminal[] = [];

/** `npm run cluster` in a terminal of its own. */
class ClusterTerminal {
  readonly #child: ChildProcess;
  readonly ended: Promise<number | null>;
  output = '';

  constructor(env: Readonly<Record<string, string>>) {
    this.#child = spawn(process.execPath, [cli, 'cluster'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.output += String(chunk)));
    }
    this.ended = once(this.#child, 'close').then(([code]) => code as number | null);
    running.push(this);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async said(text: string): Promise<void> {
    await waitFor(() => this.output.includes(text), {
      what: `"${text}" in ${this.output}`,
      deadlineMs: 30_000,
    });
  }
}

beforeAll(async () => {
  firstPort = await freePortRange(INSTANCES);
  home = await GatewayHome.create({
    START_PORT: String(firstPort),
    INSTANCE_COUNT: String(INSTANCES),
    HA_PORT: String(await freePortRange(1)),
    LB_ALGORITHM: 'round-robin',
  });
});
afterAll(async () => {
  for (const terminal of running) terminal.signal('SIGKILL');
  await Promise.all(running.map(({ ended }) => ended));
  await home.dispose();
});

const untilAllAreUp = () =>
  home.until(
    'every instance to be up',
    ({ pools }) =>
      pools[0]!.upstreams.length === INSTANCES && pools[0]!.upstreams.every(({ state }) => state === 'up'),
    30_000,
  );

/** The page says that an instance is up a moment before the workers send to it. */
async function untilAllAnswer(): Promise<void> {
  const pids = new Set<number>();
  const statuses = new Set<number>();
  const ask = async (): Promise<boolean> => {
    const answer = await fetch(home.url('/api/status'));
    statuses.add(answer.status);
    return pids.add(((await answer.json()) as { pid: number }).pid).size === INSTANCES;
  };
  await waitFor(ask, { what: 'every instance to answer through the gateway', intervalMs: 1 });
  expect([...statuses]).toEqual([200]);
}

const CHECKS: Readonly<Record<CompatibilityId<'processes'>, () => Promise<void>>> = {
  'two-terminals': async () => {
    const balancer = await home.start();
    await waitFor(() => balancer.stdout.includes('In another terminal:  npm run cluster'), {
      what: 'the advice',
    });
    const cluster = new ClusterTerminal(home.env);
    const { sources } = await untilAllAreUp();
    expect(sources).toMatchObject([{ name: 'ports', state: 'live' }]);
    await untilAllAnswer();
    await cluster.said(`curl ${home.url('/api/status')}`);

    // A second one is told what is in its way; the first goes on.
    const second = new ClusterTerminal(home.env);
    expect(await second.ended).toBe(1);
    expect(second.output).toContain(`Port ${firstPort}, which wordpecker-backend needs, is taken by pid`);

    // The other order.
    balancer.signal('SIGINT');
    expect(await balancer.ended()).toMatchObject({ code: 0 });
    await home.start();
    await untilAllAreUp();
    await untilAllAnswer();

    cluster.signal('SIGINT');
    expect(await cluster.ended).toBe(0);
    expect(cluster.output).toContain(`Stopped wordpecker-backend (${INSTANCES} instances).`);
  },
};

describe('works as it is written', () => {
  it.each(COMPATIBILITY.filter((row) => row.test === 'processes'))('$typed', ({ id }) => CHECKS[id]());
});
