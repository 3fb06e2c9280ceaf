/**
 * Seven ways to be busy, or not, each in a service of its own (support/apps/workloads.cjs) with one instance, and what
 * scaling and failover make of it: with thresholds and hang time-out as they are by default, except where said, and with
 * windows short enough for a test. One after the other where they need a core. The table that is printed is the proof.
 */
import { writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServiceView } from '../../../backend/src/domain/views/serviceView.js';
import type { LoadBalancerView, StatusView } from '../../../backend/src/domain/views/controlPlane.js';
import { Load } from '../../support/load.js';
import { createPm2Home, type Pm2Home } from '../../support/pm2.js';
import { freePortRange } from '../../support/ports.js';
import { repository } from '../../support/deployment.js';
import { waitFor } from '../../support/waitFor.js';

const SERVICES = ['pool', 'wait', 'spin', 'queue', 'hang', 'lost', 'database'] as const;
type Service = (typeof SERVICES)[number];
const PORTS = 10;
const MOST = 6;
/** Two looks of the supervisor. */
const AFTER_SCALE_MS = 2_500;
const app = join(repository, 'test/support/apps/workloads.cjs');

let pm2: Pm2Home;
let haPort: number;
const loads: Load[] = [];
const rows: Record<string, unknown>[] = [];

/** Whether the machine has less to do than twice what it can. */
const isQuiet = (): boolean => (loadavg()[0] ?? 0) < 2 * cpus().length;

const portOf = (service: Service): number => haPort + 1 + PORTS * SERVICES.indexOf(service);

beforeAll(async () => {
  pm2 = createPm2Home();
  haPort = await freePortRange(1 + PORTS * SERVICES.length);
  const config = join(pm2.home, 'config.yml');
  const ecosystem = join(pm2.home, 'ecosystem.config.cjs');
  // 20 % of a core is to be had also where the machine is busy with other things.
  const pool = '  pool:\n    cpuThresholdHigh: 20\n    cpuThresholdLow: 5\n';
  // Probes that a queue makes late within seconds: it must not be ended for them.
  const queue = '  queue:\n    healthCheckInterval: 2000\n    healthCheckTimeout: 2000\n';
  writeFileSync(config, `services:\n${pool}${queue}`);
  writeFileSync(ecosystem, ecosystemFile(ecosystem));
  Object.assign(pm2.env, {
    HA_PORT: String(haPort),
    HA_DATA_DIR: join(pm2.home, 'data'),
    HA_LOG_DIR: join(pm2.home, 'logs'),
    HA_CONFIG: config,
    PORT_COUNT: String(PORTS),
    MAX_INSTANCES: String(MOST),
    // One move a service, and quickly.
    SCALE_UP_WINDOW: '4000',
    SCALE_DOWN_WINDOW: '600000',
    SCALE_COOLDOWN: '600000',
    STABLE_PERIOD: '500',
    DRAIN_GRACE: '100',
    HEALTH_CHECK_FAST_INTERVAL: '200',
  });
  await pm2.pm2('start', ecosystem);
  await waitFor(
    async () => {
      const { services } = await status();
      return (
        services.length === SERVICES.length &&
        services.every(({ instances }) =>
          instances.every(({ agent, serving }) => serving && agent === 'connected'),
        )
      );
    },
    { what: 'an agent in every instance', deadlineMs: 30_000, intervalMs: 100 },
  );
}, 90_000);

afterAll(async () => {
  for (const load of loads) load.stop();
  await pm2.dispose();
  console.table(rows);
}, 30_000);

function ecosystemFile(file: string): string {
  const services = SERVICES.map((name) => {
    const definition = { name, script: app, cwd: pm2.home, env: { PORT: portOf(name) } };
    return `withAgent(${JSON.stringify(definition)})`;
  });
  return `
    const { defineSupervisor, withAgent } = require(${JSON.stringify(join(repository, 'backend/ecosystem.cjs'))});
    module.exports = { apps: [defineSupervisor({ file: ${JSON.stringify(file)} }), ${services.join(', ')}] };
  `;
}

async function get<T>(path: string): Promise<T> {
  const answer = await fetch(`http://127.0.0.1:${haPort}/api/ha/${path}`, {
    signal: AbortSignal.timeout(10_000),
  });
  return ((await answer.json()) as { data: T }).data;
}

const status = (): Promise<StatusView> => get<StatusView>('status');

interface Happened {
  readonly type: string;
  readonly service: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

async function eventsOf(service: Service, type: string): Promise<readonly Happened[]> {
  const { events } = await get<{ events: readonly Happened[] }>(`events?limit=1000&service=${service}`);
  return events.filter((event) => event.type === type);
}

function begin(service: Service, path: string, how: { closed: number } | { perSecond: number }): Load {
  const load = new Load(portOf(service), path, how);
  loads.push(load);
  return load;
}

/** The highest figures seen of the one instance until something was decided, and what that was. */
interface Seen {
  readonly cpu: number;
  readonly elu: number;
  readonly backlog: number;
  readonly scaled: { readonly from: number; readonly to: number; readonly reason: string } | null;
  readonly unfit: { readonly cause: string; readonly detail: string } | null;
}

/**
 * Looks until something was decided, or `forMs` are over. A scale-up may come with the first figures above the threshold,
 * when the load has hardly begun; the load goes on, so what it comes to is looked at for AFTER_SCALE_MS more.
 */
async function observe(service: Service, workload: string, forMs: number): Promise<Seen> {
  const highest = { cpu: 0, elu: 0, backlog: 0 };
  const pmId = (await status()).services.find(({ name }) => name === service)?.instances[0]?.pmId;
  let scaled: Seen['scaled'] = null;
  let unfit: Seen['unfit'] = null;
  let endMs = performance.now() + forMs;
  while (performance.now() < endMs) {
    const wasScaled = scaled !== null;
    scaled = ((await eventsOf(service, 'service.scaled'))[0]?.data ?? null) as Seen['scaled'];
    unfit = ((await eventsOf(service, 'instance.unfit'))[0]?.data ?? null) as Seen['unfit'];
    if (scaled !== null && !wasScaled) endMs = performance.now() + AFTER_SCALE_MS;
    // Only now: a decision may come with the very first figures that led to it, and these are still shown then.
    const now: ServiceView | undefined = (await status()).services.find(({ name }) => name === service);
    const only = now?.instances.find((instance) => instance.pmId === pmId);
    highest.cpu = Math.max(highest.cpu, only?.cpuPercent ?? 0);
    highest.elu = Math.max(highest.elu, only?.eluPercent ?? 0);
    highest.backlog = Math.max(highest.backlog, only?.backlogPercent ?? 0);
    if (unfit !== null) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const seen = {
    cpu: Math.round(highest.cpu),
    elu: Math.round(highest.elu),
    backlog: Math.round(highest.backlog),
    scaled,
    unfit,
  };
  const { services } = await get<LoadBalancerView>('load-balancer');
  const held = services.find(({ name }) => name === service)?.last?.reason;
  rows.push({
    workload,
    'CPU %': seen.cpu,
    'ELU %': seen.elu,
    'backlog %': seen.backlog,
    decision:
      scaled === null
        ? unfit === null
          ? 'none'
          : `replace: ${unfit.cause}`
        : `${scaled.from} → ${scaled.to}`,
    reason: scaled?.reason ?? unfit?.detail ?? held,
  });
  return seen;
}

async function replaced(service: Service, pid: number | null): Promise<void> {
  await waitFor(
    async () => {
      const now = (await status()).services.find(({ name }) => name === service);
      return (
        now?.desired === 1 &&
        now.instances.length === 1 &&
        now.instances[0]?.serving &&
        now.instances[0].pid !== pid
      );
    },
    { what: `another instance of ${service}, and no second one`, deadlineMs: 15_000, intervalMs: 100 },
  );
}

async function pidOf(service: Service): Promise<number | null> {
  return (await status()).services.find(({ name }) => name === service)?.instances[0]?.pid ?? null;
}

describe('that need no core', () => {
  it('a synchronous wait: the process sleeps, its loop is held: more instances', async () => {
    const load = begin('wait', '/wait?ms=200', { closed: 3 });
    const seen = await observe('wait', 'synchronous wait', 15_000);
    load.stop();
    expect(seen).toMatchObject({ unfit: null, scaled: { from: 1 } });
    expect(seen.cpu).toBeLessThan(30);
    expect(seen.elu).toBeGreaterThan(80);
    expect(seen.scaled?.to).toBeGreaterThanOrEqual(2);
  });

  it('a lost promise: nothing is busy, nothing finishes: another instance in its place', async () => {
    const pid = await pidOf('lost');
    const usual = begin('lost', '/database?ms=20', { closed: 2 });
    await waitFor(() => usual.answered > 100, { what: 'requests that finish, so that none is unusual' });
    usual.stop();
    const load = begin('lost', '/lost', { closed: 5 });
    const seen = await observe('lost', 'lost promise', 10_000);
    load.stop();
    expect(seen).toMatchObject({ scaled: null, unfit: { cause: 'stalled' } });
    expect(seen.cpu).toBeLessThan(30);
    expect(seen.elu).toBeLessThan(30);
    await replaced('lost', pid);
  });

  it('answers that wait for a database: neither', async () => {
    const load = begin('database', '/database?ms=400', { closed: 40 });
    const seen = await observe('database', 'database', 6_000);
    load.stop();
    expect(seen).toMatchObject({ scaled: null, unfit: null, backlog: 0 });
    expect(load.answered).toBeGreaterThan(100);
  });
});

describe('that need one', () => {
  it('work in the thread pool: the process burns, its loop idles: more instances', async () => {
    const load = begin('pool', '/pool?ms=50', { closed: 4 });
    const seen = await observe('pool', 'thread pool', 15_000);
    load.stop();
    expect(seen).toMatchObject({ unfit: null, scaled: { from: 1 } });
    expect(seen.elu).toBeLessThan(80);
    // Where there is CPU to be had.
    if (isQuiet()) expect(seen.cpu).toBeGreaterThan(70);
    expect(seen.scaled?.to).toBeGreaterThanOrEqual(2);
  });

  it('short busy loops, one after the other: one instance more', async () => {
    const load = begin('spin', '/spin?ms=100', { closed: 1 });
    const seen = await observe('spin', 'short busy loops', 15_000);
    load.stop();
    expect(seen).toMatchObject({ unfit: null, scaled: { from: 1, to: 2 } });
    expect(seen.elu).toBeGreaterThan(80);
    expect(seen.scaled?.reason).not.toContain('waits');
  });

  it('the same with a queue that grows: as many more as what arrives needs', async () => {
    const load = begin('queue', '/spin?ms=25', { perSecond: 160 });
    const seen = await observe('queue', 'busy loops with a queue', 15_000);
    load.stop();
    expect(seen).toMatchObject({ unfit: null, scaled: { from: 1 } });
    expect(seen.backlog).toBeGreaterThan(5);
    // The busy time alone, which is 100 % at most, asks for two. So does a queue that is at its limit when first seen.
    expect(seen.scaled?.to).toBeGreaterThanOrEqual(isQuiet() ? 3 : 2);
    expect(seen.scaled?.reason).toMatch(
      /[\d.]+ s of work waits in each instance and \d+ % of a core arrives/,
    );
  });

  it('a busy loop without an end: another instance in its place', async () => {
    const pid = await pidOf('hang');
    const load = begin('hang', '/spin?ms=60000', { closed: 1 });
    const seen = await observe('hang', 'endless busy loop', 10_000);
    load.stop();
    expect(seen).toMatchObject({ scaled: null, unfit: { cause: 'hung' } });
    expect(seen.unfit?.detail).toMatch(/^blocked for/);
    await replaced('hang', pid);
    expect(await eventsOf('hang', 'service.scaled')).toEqual([]);
  });
});
