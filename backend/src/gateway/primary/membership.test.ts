import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import type { HealthPolicy } from '../../domain/policy.js';
import { upstreamKey } from '../../domain/statistics/trafficLedger.js';
import type { Member, ProbeResult } from '../../ports.js';
import { Checker } from './checker.js';
import { Membership, MOST_UPSTREAMS } from './membership.js';

const member = (port: number, rest: Partial<Member> = {}): Member => ({
  id: `127.0.0.1:${port}`,
  host: '127.0.0.1',
  port,
  weight: 1,
  ...rest,
});

const POLICY: HealthPolicy = {
  probe: { kind: 'tcp' },
  intervalMs: 30_000,
  timeoutMs: 1_000,
  fastIntervalMs: 1_000,
  fall: 3,
  rise: 2,
  startTimeoutMs: 30_000,
};

function joined() {
  const clock = new FakeClock();
  const peer: { answer: ProbeResult } = { answer: { ok: true, latencyMs: 1 } };
  let changes = 0;
  const checker = new Checker({
    clock,
    random: () => 0.5,
    prober: { probe: () => Promise.resolve(peer.answer) },
    onChange: (id) => membership.checked(id),
  });
  const membership = new Membership({
    clock,
    checker,
    checkOf: () => POLICY,
    onChange: () => (changes += 1),
  });
  const announce = (members: readonly Member[], verified = true, source = 'supervisor'): void =>
    membership.announce({ pool: 'shop', source, members, verified });
  const states = (): string[] => membership.rows('shop').map(({ port, state }) => `${port} ${state}`);
  return { clock, peer, membership, announce, states, changes: () => changes };
}

let world: ReturnType<typeof joined>;
beforeEach(() => {
  world = joined();
});

describe('members', () => {
  it('that their source has verified are up at once', () => {
    world.announce([member(1), member(2)]);
    expect(world.states()).toEqual(['1 up', '2 up']);
  });

  it('that never passed are up whatever our checks say, and are checked like others once they are verified', async () => {
    world.peer.answer = { ok: false, latencyMs: 1, kind: 'status', detail: 'HTTP 404' };
    world.announce([member(1, { unverified: true }), member(2)]);
    await world.clock.advance(300_000);
    expect(world.states()).toEqual(['1 up', '2 down']);
    world.announce([member(1), member(2)]);
    expect(world.states()).toEqual(['1 up', '2 down']);
    await world.clock.advance(300_000);
    expect(world.states()).toEqual(['1 down', '2 down']);
  });

  it('that are withdrawn drain, though nothing else is left; what another source has taken over stays', () => {
    world.announce([member(1), member(2)], true, 'ports');
    world.announce([member(2)], true, 'supervisor');
    world.membership.withdraw('shop', 'ports');
    expect(world.states()).toEqual(['1 draining', '2 up']);
    world.membership.withdraw('shop', 'supervisor');
    expect(world.states()).toEqual(['1 draining', '2 draining']);
  });

  it('of other sources are down until they pass', async () => {
    world.announce([member(1)], false);
    expect(world.states()).toEqual(['1 down']);
    await world.clock.advance(100);
    expect(world.states()).toEqual(['1 up']);
  });

  it('that are doubtful are down until they pass, and up at once when they are no longer', async () => {
    const doubtful = (port: number): Member => member(port, { doubtful: true });
    world.announce([member(1), member(2)]);
    world.announce([member(2)]);
    world.membership.drained([upstreamKey('shop', '127.0.0.1:1')]);
    world.announce([]);
    expect(world.states()).toEqual(['2 down']);
    world.peer.answer = { ok: false, latencyMs: 1, kind: 'refused', detail: 'refused' };
    world.announce([doubtful(1), doubtful(2)]);
    expect(world.states()).toEqual(['1 down', '2 down']);
    world.announce([doubtful(1), member(2)]);
    expect(world.states()).toEqual(['1 down', '2 up']);
    world.announce([doubtful(1), doubtful(2)]);
    expect(world.states()).toEqual(['1 down', '2 down']);
    world.peer.answer = { ok: true, latencyMs: 1 };
    await world.clock.advance(10_000);
    expect(world.states()).toEqual(['1 up', '2 up']);
  });

  it('that fail are down, and it is said', async () => {
    world.announce([member(1)]);
    const before = world.changes();
    world.peer.answer = { ok: false, latencyMs: 1, kind: 'refused', detail: 'refused' };
    await world.clock.advance(40_000);
    expect(world.states()).toEqual(['1 down']);
    expect(world.changes()).toBe(before + 1);
  });

  it('keep their weights, and take a new one without being judged anew', async () => {
    world.announce([member(1, { weight: 3 })], false);
    await world.clock.advance(100);
    world.announce([member(1, { weight: 7 })], false);
    expect(world.membership.rows('shop')).toMatchObject([{ weight: 7, state: 'up' }]);
  });

  it('count their time from when they came up', async () => {
    world.announce([member(1)], false);
    await world.clock.advance(10);
    world.membership.rows('shop');
    await world.clock.advance(60_000);
    const [row] = world.membership.rows('shop');
    expect(row?.upSinceMs).toBeGreaterThan(FakeClock.epochMs);
    await world.clock.advance(60_000);
    expect(world.membership.rows('shop')[0]?.upSinceMs).toBe(row?.upSinceMs);
  });
});

describe('one that is no longer announced', () => {
  beforeEach(() => {
    world.announce([member(1), member(2)]);
    world.announce([member(2)]);
  });

  it('drains until every worker is done with it', () => {
    expect(world.states()).toEqual(['1 draining', '2 up']);
    world.membership.drained([upstreamKey('shop', member(1).id)]);
    expect(world.states()).toEqual(['2 up']);
  });

  it('comes back when it is announced again', () => {
    world.announce([member(1), member(2)]);
    expect(world.states()).toEqual(['1 up', '2 up']);
    world.membership.drained([upstreamKey('shop', member(1).id)]);
    expect(world.states()).toEqual(['1 up', '2 up']);
  });

  it('is not remembered', () => {
    expect(world.membership.announced().map(({ member: { port } }) => port)).toEqual([2]);
  });
});

describe('a source that suddenly knows nobody', () => {
  beforeEach(() => {
    world.announce([member(1), member(2)]);
    world.announce([]);
  });

  it('leaves its last members there as down, so that the pool fails open', async () => {
    expect(world.states()).toEqual(['1 down', '2 down']);
    world.announce([]);
    await world.clock.advance(120_000);
    expect(world.states()).toEqual(['1 down', '2 down']);
    expect(world.membership.announced()).toHaveLength(2);
  });

  it('is believed again as soon as it names one', () => {
    world.announce([member(3)]);
    expect(world.states()).toEqual(['1 draining', '2 draining', '3 up']);
  });

  it('and may name the same ones', () => {
    world.announce([member(1)]);
    expect(world.states()).toEqual(['1 up', '2 draining']);
  });
});

it('two sources share a pool; each speaks for its own', () => {
  world.announce([member(1)], true, 'supervisor');
  world.announce([member(2)], true, 'BACKEND_HOSTS');
  world.announce([member(3)], true, 'supervisor');
  expect(world.states()).toEqual(['1 draining', '2 up', '3 up']);
  expect([...world.membership.sources().values()].sort()).toEqual([
    'BACKEND_HOSTS',
    'supervisor',
    'supervisor',
  ]);
});

it('a pool that is no longer configured is dropped', () => {
  world.announce([member(1)]);
  world.membership.reconfigure(new Set(['other']));
  expect(world.states()).toEqual([]);
  expect(world.clock.pending).toBe(0);
});

it('a source that goes wild is bounded, and what is refused is counted', () => {
  world.announce(Array.from({ length: MOST_UPSTREAMS + 10 }, (_, i) => member(1_000 + i)));
  expect(world.membership.rows('shop')).toHaveLength(MOST_UPSTREAMS);
  expect(world.membership.refused).toBe(10);
});
