/** When a service is looked at, what is shown of it, and when that ends. What is found out, the test says. */
import { afterEach, describe, expect, it } from 'vitest';
import type { RunningFacts } from '../../backend/src/domain/diagnosis/facts.js';
import type { FactFinder } from '../../backend/src/ports.js';
import { noFacts } from '../support/noFacts.js';
import { policyOf, World } from './world.js';

const SERVICE = 'api';
const NO_PATH: RunningFacts['answer'] = { kind: 'answered', status: 404, location: null, body: '' };
const boom = (): ReturnType<FactFinder['ofExit']> =>
  Promise.resolve({
    error: { headline: 'TypeError: boom', at: '/srv/a.js:1:1' },
    holder: null,
    log: { path: '/srv/err.log', lines: ['TypeError: boom'] },
  });

let world: World;
let looks: number[];

afterEach(() => world.killSupervisor());

/** A deployment of these instances, of which it is found out that the health path answers 404. */
async function begin(instances: number, answers: 'ok' | 'error'): Promise<void> {
  world = new World(1, [policyOf(SERVICE)]);
  looks = [];
  world.facts = {
    ...noFacts,
    ofRunning: async (process, known) => {
      looks.push(world.clock.nowMs());
      return { ...(await noFacts.ofRunning(process, known)), answer: NO_PATH };
    },
    ofExit: boom,
  };
  world.pm2.behave = () => ({ readyAfterMs: 100, exitsAfterMs: null, answers });
  world.pm2.seed(SERVICE, instances);
  await world.startSupervisor();
}

const shown = () => world.ha.status().services[0]?.diagnosis ?? null;
const told = () => world.eventsOf('service.diagnosed').map(({ data }) => data);

describe('an instance that does not come up', () => {
  it('is looked at when it has had time to, a few times, and then now and then', async () => {
    await begin(1, 'error');
    await world.clock.advance(2_000);
    expect(looks).toEqual([]);
    await world.clock.advance(13_000);
    expect(shown()).toMatchObject({ code: 'health-path-missing', settled: true });
    expect(looks.length).toBeGreaterThanOrEqual(2);
    expect(looks.length).toBeLessThanOrEqual(5);
  });

  it('is told of once, and once more when time can not help', async () => {
    await begin(2, 'error');
    await world.clock.advance(15_000);
    expect(told()).toMatchObject([{ settled: false }, { settled: true }]);
    expect(told()[1]).toMatchObject({ detail: expect.stringContaining('answered 404') });
    const { checks } = await (async () => {
      const health = world.ha.health();
      await world.clock.advance(100);
      return health;
    })();
    expect(checks.find(({ name }) => name === SERVICE)?.detail).toContain('answered 404');
  });

  it('has no diagnosis any more once it serves', async () => {
    await begin(1, 'error');
    await world.clock.advance(10_000);
    expect(shown()).not.toBeNull();
    for (const row of world.pm2.alive(SERVICE)) world.pm2.setAnswers(row, 'ok');
    await world.clock.advance(10_000);
    expect(world.loop.services.get(SERVICE)?.state()).toBe('healthy');
    expect(shown()).toBeNull();
  });

  it('leaves one that serves alone', async () => {
    await begin(2, 'ok');
    await world.clock.advance(60_000);
    expect(looks).toEqual([]);
    expect(shown()).toBeNull();
  });
});

describe('an instance that ends', () => {
  it('is explained by what it wrote, and that stays when the next one has only just begun', async () => {
    await begin(1, 'ok');
    world.pm2.behave = () => ({ readyAfterMs: 1e9, exitsAfterMs: 3_000, answers: 'ok' });
    await world.clock.advance(5_000);
    for (const row of world.pm2.alive(SERVICE)) world.pm2.kill(row, { exitCode: 1, signal: null });
    await world.clock.advance(12_000);
    expect(shown()).toMatchObject({ code: 'crashed', settled: true, log: { lines: ['TypeError: boom'] } });
    expect(shown()?.what).toContain('TypeError: boom (/srv/a.js:1:1)');
  });

  it('is no reason for a diagnosis when another takes its place at once', async () => {
    await begin(2, 'ok');
    await world.clock.advance(5_000);
    world.pm2.kill(world.pm2.alive(SERVICE)[0]!, { exitCode: 1, signal: null });
    await world.clock.advance(10_000);
    expect(shown()).toBeNull();
  });
});

it.each([
  ['ends', { readyAfterMs: 100, exitsAfterMs: 40, answers: 'ok' }, 'TypeError: boom (/srv/a.js:1:1)'],
  ['never serves', { readyAfterMs: 100, exitsAfterMs: null, answers: 'error' }, '/health answered 404'],
] as const)('a deploy whose canary %s is refused with the reason', async (_what, behaviour, reason) => {
  await begin(2, 'ok');
  await world.clock.advance(5_000);
  world.pm2.behave = () => behaviour;
  let refusal: unknown;
  world.ha.deploy({ serviceName: SERVICE, timeoutMs: 300_000 }).catch((error: unknown) => (refusal = error));
  for (let waited = 0; refusal === undefined && waited < 120_000; waited += 100)
    await world.clock.advance(100);
  expect(refusal).toMatchObject({
    code: 'deploy.canary-failed',
    message: expect.stringContaining(reason),
    details: { diagnosis: { service: SERVICE } },
  });
});

it('a deploy that failed leaves files that are told of until they are put back', async () => {
  await begin(2, 'ok');
  let differences: readonly string[] = ['/srv/app.js'];
  let putBack = 0;
  world.builds = {
    keep: () => Promise.resolve({ ok: true }),
    differences: () => Promise.resolve(differences),
    putBack: () => {
      putBack += 1;
      differences = [];
      return Promise.resolve({ restored: ['/srv/app.js'], aside: '/data/aside' });
    },
  };
  await world.killSupervisor();
  await world.startSupervisor();
  await world.clock.advance(5_000);
  const files = () => world.ha.status().services[0]?.unprovenFiles ?? null;
  const deploy = async (request: object): Promise<unknown> => {
    let outcome: unknown;
    const body = { serviceName: SERVICE, timeoutMs: 300_000, ...request };
    world.ha.deploy(body).then(
      (report) => (outcome = report),
      (error: unknown) => (outcome = error),
    );
    for (let waited = 0; outcome === undefined && waited < 120_000; waited += 100)
      await world.clock.advance(100);
    return outcome;
  };
  world.pm2.behave = () => ({ readyAfterMs: 100, exitsAfterMs: 40, answers: 'ok' });
  expect(await deploy({})).toMatchObject({ message: expect.stringContaining('--put-back') });
  expect(files()).toMatchObject({ problem: expect.stringContaining('did not verify') });
  await world.clock.advance(30_000);
  // It is remembered over a restart of the supervisor.
  await world.killSupervisor();
  await world.startSupervisor();
  await world.clock.advance(15_000);
  expect(files()).not.toBeNull();
  world.pm2.behave = () => ({ readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' });
  expect(await deploy({ putBack: true })).toMatchObject({ done: true });
  expect(putBack).toBe(1);
  expect(files()).toBeNull();
});
