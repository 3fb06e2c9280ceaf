import { beforeEach, expect, it } from 'vitest';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import { portRange } from '../../domain/upstreams/members.js';
import { Checker } from './checker.js';
import { Membership } from './membership.js';
import { StandIn } from './standIn.js';

const POLICY = {
  probe: { kind: 'tcp' },
  intervalMs: 30_000,
  timeoutMs: 1_000,
  fastIntervalMs: 1_000,
  fall: 3,
  rise: 2,
  startTimeoutMs: 30_000,
} as const;

let membership: Membership;
let logged: string[];
let standIn: StandIn;
const states = (): string[] => membership.rows('shop').map(({ port, state }) => `${port} ${state}`);

beforeEach(() => {
  const clock = new FakeClock();
  const prober = { probe: () => Promise.resolve({ ok: true, latencyMs: 1 } as const) };
  const checker = new Checker({ clock, random: () => 0.5, prober, onChange: () => undefined });
  membership = new Membership({ clock, checker, checkOf: () => POLICY, onChange: () => undefined });
  logged = [];
  const say = (text: string): void => void logged.push(text);
  const logger = { error: say, warn: say, info: say, debug: say };
  const plan = { members: portRange('127.0.0.1', 81, 2), reason: 'nothing is set' };
  standIn = new StandIn('shop', plan, membership, logger);
});

it('is used when the source gives no answer, and shown in its place; said once', () => {
  expect([standIn.fact, states()]).toEqual([null, []]);
  expect([standIn.sourceFailed(), standIn.sourceFailed()]).toEqual([true, true]);
  expect(states()).toEqual(['81 down', '82 down']);
  expect(standIn.fact).toEqual({
    name: 'ports',
    pool: 'shop',
    state: 'live',
    detail: '127.0.0.1:81 to 82: nothing is set',
  });
  expect(logged).toHaveLength(1);
});

it('is over for good with the first answer: what the source did not name drains', () => {
  standIn.sourceFailed();
  membership.announce({
    pool: 'shop',
    source: 'supervisor',
    members: portRange('127.0.0.1', 82, 1),
    verified: true,
  });
  standIn.sourceAnswered();
  expect([standIn.fact, states()]).toEqual([null, ['81 draining', '82 up']]);
  expect(standIn.sourceFailed()).toBe(false);
  expect([standIn.fact, states()]).toEqual([null, ['81 draining', '82 up']]);
});

it('is never used where the source answers first', () => {
  standIn.sourceAnswered();
  expect(standIn.sourceFailed()).toBe(false);
  expect([standIn.fact, states(), logged]).toEqual([null, [], []]);
});
