/**
 * Real processes that leak for real, under load, PM2 and the supervisor around them: each is replaced before it meets
 * its limit, at the price of no request; one whose memory only comes and goes is left alone.
 *
 * Four services side by side, so that it takes the time of one: `leaky` and `teeth` with an agent, `bare` without, and
 * `cramped`, whose JavaScript heap is full long before the limit of the service. V8 is told how big the heap of the others
 * may become, as one would with such a limit: else it may leave garbage alone for so long on a busy machine that nothing
 * can be told from it.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { InstanceView } from '../../../backend/src/domain/views/serviceView.js';
import type { MetricsView, StatusView } from '../../../backend/src/domain/views/controlPlane.js';
import { repository } from '../../support/deployment.js';
import { createPm2Home, type Pm2Home } from '../../support/pm2.js';
import { freePortRange } from '../../support/ports.js';
import { Traffic, type Losses } from '../../support/traffic.js';
import { waitFor } from '../../support/waitFor.js';

const weighty = fileURLToPath(new URL('../../support/apps/weighty.cjs', import.meta.url));
const SERVICES = ['leaky', 'teeth', 'bare', 'cramped'] as const;
type Service = (typeof SERVICES)[number];
const RANGE = 8;
const LIMIT_MB = 200;
const LIMIT_BYTES = LIMIT_MB * 2 ** 20;
const LEAK_MB_PER_SECOND = 3.5;
const HEAP_MB = 100;
/** So that it is full after as long. */
const CRAMPED_MB_PER_SECOND = 2.5;

interface Event {
  readonly seq: number;
  readonly type: string;
  readonly service: string | null;
  readonly data: {
    readonly instance: { readonly pmId: number };
    readonly [name: string]: unknown;
  };
}

let pm2: Pm2Home;
let haPort: number;

beforeAll(async () => {
  pm2 = createPm2Home();
  haPort = await freePortRange(1 + SERVICES.length * RANGE);
  Object.assign(pm2.env, {
    HA_PORT: String(haPort),
    HA_DATA_DIR: join(pm2.home, 'data'),
    HA_LOG_DIR: join(pm2.home, 'ha-logs'),
    HA_CONFIG: join(pm2.home, 'config.yml'),
    PORT_COUNT: String(RANGE),
    STABLE_PERIOD: '1000',
  });
  writeFileSync(pm2.env['HA_CONFIG']!, '');
  const file = join(pm2.home, 'ecosystem.config.js');
  writeFileSync(
    file,
    `const { defineSupervisor, withAgent } = require(${JSON.stringify(join(repository, 'backend/ecosystem.cjs'))});
     const service = (name, port, heapMb = 256) => ({
       name, port, script: ${JSON.stringify(weighty)}, cwd: ${JSON.stringify(pm2.home)}, exec_mode: 'fork',
       instances: 2, increment_var: 'PORT', instance_var: 'HOLDFAST_INSTANCE', pmx: false, filter_env: [''],
       max_memory_restart: '${LIMIT_MB}M', kill_timeout: 5000, node_args: ['--max-old-space-size=' + heapMb],
     });
     module.exports = { apps: [
       defineSupervisor({ file: __filename, autoscale: false }),
       withAgent(service('leaky', ${portOf('leaky')})),
       withAgent(service('teeth', ${portOf('teeth')})),
       service('bare', ${portOf('bare')}),
       withAgent(service('cramped', ${portOf('cramped')}, ${HEAP_MB})),
     ] };`,
  );
  pm2.env['HA_ECOSYSTEM_FILE'] = file;
  await pm2.pm2('start', file);
  await waitFor(async () => (await status()).services.every(({ serving }) => serving === 2), {
    what: 'two of each serving',
    deadlineMs: 40_000,
  });
});

afterAll(async () => {
  await pm2.dispose();
});

function portOf(service: Service): number {
  return haPort + 1 + SERVICES.indexOf(service) * RANGE;
}

async function get<T>(path: string): Promise<T> {
  const answer = await fetch(`http://127.0.0.1:${haPort}/api/ha/${path}`, {
    signal: AbortSignal.timeout(10_000),
  });
  return ((await answer.json()) as { data: T }).data;
}

const status = (): Promise<StatusView> => get<StatusView>('status');

async function instances(service: Service): Promise<readonly InstanceView[]> {
  return (await status()).services.find(({ name }) => name === service)!.instances;
}

async function events(service: Service): Promise<readonly Event[]> {
  return (await get<{ events: readonly Event[] }>(`events?service=${service}&limit=200`)).events;
}

async function tell({ port }: InstanceView, action: string): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${port}/${action}`, { method: 'POST' });
  expect(await answer.text()).toBe('as you wish\n');
}

async function oldest(service: Service): Promise<InstanceView> {
  return [...(await instances(service))].sort((a, b) => a.pmId - b.pmId)[0]!;
}

const notes: string[] = [];

describe('memory under load', () => {
  const losses = new Map<Service, Losses>();
  const before = new Map<Service, readonly InstanceView[]>();
  let leaking: Record<'leaky' | 'bare' | 'cramped', InstanceView>;
  /** The highest that was seen of each instance. */
  const highest = new Map<string, number>();
  const trends = new Set<string>();
  let exposition = '';

  beforeAll(async () => {
    for (const service of SERVICES) before.set(service, await instances(service));
    const traffic = await Promise.all(
      SERVICES.map((service) => Traffic.start({ haPort, service, concurrency: 3, path: '/' })),
    );
    leaking = { leaky: await oldest('leaky'), bare: await oldest('bare'), cramped: await oldest('cramped') };
    await tell(leaking.leaky, `leak?mbPerSecond=${LEAK_MB_PER_SECOND}`);
    await tell(leaking.bare, `leak?mbPerSecond=${LEAK_MB_PER_SECOND}`);
    await tell(leaking.cramped, `leak?mbPerSecond=${CRAMPED_MB_PER_SECOND}`);
    for (const instance of before.get('teeth')!) await tell(instance, 'teeth?mb=25&seconds=6');

    await waitFor(
      async () => {
        const { services } = await status();
        for (const { name, instances: rows } of services) {
          for (const { pmId, memoryBytes, memoryTrend } of rows) {
            const key = `${name}#${pmId}`;
            highest.set(key, Math.max(highest.get(key) ?? 0, memoryBytes ?? 0));
            trends.add(`${key} ${memoryTrend.kind}`);
          }
        }
        if (exposition === '' && trends.has(`leaky#${leaking.leaky.pmId} growing`)) {
          exposition = await (await fetch(`http://127.0.0.1:${haPort}/metrics`)).text();
        }
        const isGone = (service: keyof typeof leaking): boolean => {
          const rows = services.find(({ name }) => name === service)!.instances;
          return rows.length === 2 && rows.every(({ pmId }) => pmId !== leaking[service].pmId);
        };
        return isGone('leaky') && isGone('bare') && isGone('cramped');
      },
      { what: 'the leaking instances to be replaced', deadlineMs: 100_000, intervalMs: 250 },
    );
    for (const [index, service] of SERVICES.entries()) losses.set(service, await traffic[index]!.stop());
  }, 120_000);

  afterAll(() => {
    for (const note of notes) console.log(note);
  });

  it('a leak is seen from inside, and its instance replaced before the limit, new first, with the reason', async () => {
    const { pmId } = leaking.leaky;
    const told = await events('leaky');
    const unfit = told.filter(({ type }) => type === 'instance.unfit');
    expect(unfit).toHaveLength(1);
    expect(unfit[0]!.data).toMatchObject({ instance: { pmId }, cause: 'memory' });
    const detail = String(unfit[0]!.data['detail']);
    notes.push(`leaky: ${detail}; at most ${megabytes(highest.get(`leaky#${pmId}`))} MB were seen`);
    expect(detail).toMatch(
      /^resident memory grows \d\.\d MB\/s, \d+ MB below its limit of 200 MB: reached in about \d+ s$/,
    );
    expect(highest.get(`leaky#${pmId}`)).toBeLessThan(LIMIT_BYTES);
    const order = told
      .filter(({ seq, type }) => seq > unfit[0]!.seq && /started|serving|withdrawn|stopped/.test(type))
      .map(({ type, data }) => `${type} ${data.instance.pmId === pmId ? 'old' : 'new'}`);
    expect(order).toEqual([
      'instance.started new',
      'instance.serving new',
      'instance.withdrawn old',
      'instance.stopped old',
    ]);
  });

  it('without an agent it is replaced at nine tenths of its limit at the latest', async () => {
    const { pmId } = leaking.bare;
    const unfit = (await events('bare')).filter(({ type }) => type === 'instance.unfit');
    expect(unfit.map(({ data }) => data)).toMatchObject([{ instance: { pmId }, cause: 'memory' }]);
    notes.push(
      `bare: ${String(unfit[0]!.data['detail'])}; at most ${megabytes(highest.get(`bare#${pmId}`))} MB`,
    );
    expect(highest.get(`bare#${pmId}`)).toBeLessThan(LIMIT_BYTES);
  });

  it('a JavaScript heap that fills up is told by what is alive in it, before V8 gives up', async () => {
    const { pmId } = leaking.cramped;
    const told = await events('cramped');
    const unfit = told.filter(({ type }) => type === 'instance.unfit');
    expect(unfit.map(({ data }) => data)).toMatchObject([{ instance: { pmId }, cause: 'memory' }]);
    const detail = String(unfit[0]!.data['detail']);
    notes.push(`cramped: ${detail}; at most ${megabytes(highest.get(`cramped#${pmId}`))} MB resident`);
    expect(detail).toMatch(
      /^live heap grows .* below the 85 MB that V8 can hold|^\d+ MB of 85 MB for JavaScript/,
    );
    const ended = told.filter(({ type, data }) => type === 'instance.exited' && data['charged'] === true);
    expect(ended).toEqual([]);
  });

  it('what comes and goes is no leak', async () => {
    const now = await instances('teeth');
    expect(now.map(({ pid }) => pid).sort()).toEqual(
      before
        .get('teeth')!
        .map(({ pid }) => pid)
        .sort(),
    );
    expect((await events('teeth')).filter(({ type }) => type === 'instance.unfit')).toEqual([]);
    const peaks = now.map(({ pmId }) => megabytes(highest.get(`teeth#${pmId}`)));
    notes.push(`teeth: peaks of ${peaks.join(' and ')} MB were left alone`);
    expect(Math.max(...peaks)).toBeGreaterThan(80);
  });

  it('no request was lost', () => {
    for (const [service, { sent, answered, lost }] of losses) {
      notes.push(`${service}: ${answered} of ${sent} requests answered`);
      expect(lost).toEqual([]);
      expect(answered).toBe(sent);
      expect(sent).toBeGreaterThan(500);
    }
  });

  it('costs no restart budget, PM2 had no part in it, and it shows in the figures', async () => {
    const { services } = await get<MetricsView>('metrics');
    const recycled = Object.fromEntries(services.map((service) => [service.name, service.recycled]));
    expect(recycled).toEqual({ leaky: 1, teeth: 0, bare: 1, cramped: 1 });
    for (const service of SERVICES) {
      for (const { attemptsUsed, restarts } of await instances(service)) {
        expect({ attemptsUsed, restarts }).toEqual({ attemptsUsed: 0, restarts: 0 });
      }
    }
    const labels = `{service="leaky",pm_id="${leaking.leaky.pmId}"}`;
    expect(exposition).toContain(`holdfast_instance_memory_limit_seconds${labels}`);
    const [, growth] =
      new RegExp(`holdfast_instance_memory_growth_bytes_per_second${labels} (\\d+)`).exec(exposition) ?? [];
    expect(Number(growth)).toBeGreaterThan(1e6);
  });
});

function megabytes(bytes: number | undefined): number {
  return Math.round((bytes ?? 0) / 2 ** 20);
}
