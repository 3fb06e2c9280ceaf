import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  afterProbe,
  afterTime,
  condemned,
  fitnessOf,
  isUnsettled,
  mayServe,
  probeDelayMs,
  released,
  starting,
} from './health.js';
import type { HealthState, Verdict } from './health.js';
import type { HealthPolicy } from '../policy.js';

const POLICY: HealthPolicy = {
  probe: { kind: 'tcp' },
  intervalMs: 30_000,
  timeoutMs: 5_000,
  fastIntervalMs: 1_000,
  fall: 3,
  rise: 2,
  startTimeoutMs: 30_000,
};
const PASS: Verdict = { ok: true };
const FAIL: Verdict = { ok: false, timedOut: false, answered: true, detail: 'HTTP 503' };
const SILENCE: Verdict = { ok: false, timedOut: true, answered: false, detail: 'no answer in 5000 ms' };

const FIT: HealthState = { kind: 'fit', sinceMs: 0, failures: 0, problem: null };
const ILL: HealthState = {
  kind: 'unfit',
  sinceMs: 0,
  passes: 0,
  cause: 'unhealthy',
  detail: 'HTTP 503',
  wasReady: true,
};

/** The state after these results, a second apart. */
function after(state: HealthState, ...verdicts: readonly Verdict[]): HealthState {
  return verdicts.reduce((now, verdict, i) => afterProbe(now, verdict, POLICY, 1_000 * (i + 1)), state);
}

describe('rise', () => {
  test('a starting instance is fit after that many passes in a row', () => {
    const fresh = starting(0, 'started', POLICY);
    expect(after(fresh, PASS).kind).toBe('starting');
    expect(after(fresh, PASS, PASS)).toEqual({ ...FIT, sinceMs: 2_000 });
    expect(after(fresh, PASS, FAIL, PASS).kind).toBe('starting');
    expect(after(fresh, PASS, FAIL, PASS, PASS).kind).toBe('fit');
  });

  test('an unfit one returns the same way', () => {
    expect(after(ILL, PASS)).toMatchObject({ kind: 'unfit', passes: 1, detail: 'HTTP 503' });
    expect(after(ILL, PASS, FAIL, PASS).kind).toBe('unfit');
    expect(after(ILL, PASS, PASS)).toEqual({ ...FIT, sinceMs: 2_000 });
  });
});

describe('fall', () => {
  test('a fit one is unfit after that many failures in a row', () => {
    expect(after(FIT, FAIL, FAIL)).toMatchObject({ kind: 'fit', failures: 2, problem: 'HTTP 503' });
    expect(after(FIT, FAIL, FAIL, FAIL)).toEqual({
      kind: 'unfit',
      sinceMs: 3_000,
      passes: 0,
      cause: 'unhealthy',
      detail: '3 probes in a row failed: HTTP 503',
      wasReady: true,
    });
  });

  test('one pass between failures begins the count anew, however often', () => {
    const flapping = Array.from({ length: 100 }, (_, i) => (i % 3 === 2 ? PASS : FAIL));
    expect(after(FIT, ...flapping).kind).toBe('fit');
    expect(after(FIT, FAIL, FAIL, PASS)).toEqual(FIT);
  });

  test('silence is unresponsive, a wrong answer unhealthy; the last one names it', () => {
    expect(after(FIT, FAIL, FAIL, SILENCE)).toMatchObject({ cause: 'unresponsive' });
    expect(after(FIT, SILENCE, SILENCE, FAIL)).toMatchObject({ cause: 'unhealthy' });
  });

  test('an unfit one that fails on stays unfit since the first time', () => {
    expect(after(ILL, SILENCE, SILENCE)).toEqual(ILL);
  });
});

describe('starting', () => {
  test('failures are how starting looks: they do not end it before the time-out', () => {
    expect(after(starting(0, 'started', POLICY), ...Array.from({ length: 20 }, () => FAIL))).toMatchObject({
      kind: 'starting',
      failures: 20,
    });
  });

  test('is unfit when the time-out is over, at a probe or without one', () => {
    const late = { kind: 'unfit', cause: 'not-ready', passes: 0 };
    expect(afterTime(starting(0, 'started', POLICY), POLICY, 29_999).kind).toBe('starting');
    expect(afterTime(starting(0, 'started', POLICY), POLICY, 30_000)).toMatchObject({
      ...late,
      sinceMs: 30_000,
      detail: 'not ready 30 s after its start: no probe passed',
    });
    expect(afterProbe(starting(0, 'started', POLICY), FAIL, POLICY, 30_000)).toMatchObject({
      ...late,
      detail: 'not ready 30 s after its start: HTTP 503',
    });
  });

  test('a pass at the very end still counts', () => {
    const nearly = after(starting(0, 'started', POLICY), PASS);
    expect(afterTime(afterProbe(nearly, PASS, POLICY, 30_000), POLICY, 30_000).kind).toBe('fit');
  });

  test('time alone changes neither a fit nor an unfit one', () => {
    expect(afterTime(FIT, POLICY, 1e12)).toBe(FIT);
    expect(afterTime(ILL, POLICY, 1e12)).toBe(ILL);
  });

  test('one that was already running has no start-up excuse: it falls like a fit one', () => {
    const adopted = starting(0, 'known', POLICY);
    expect(after(adopted, FAIL, FAIL).kind).toBe('starting');
    expect(after(adopted, FAIL, FAIL, SILENCE)).toMatchObject({ kind: 'unfit', cause: 'unresponsive' });
    expect(after(adopted, FAIL, FAIL, PASS, FAIL, FAIL).kind).toBe('starting');
    expect(after(adopted, PASS, PASS).kind).toBe('fit');
  });
});

describe('one that never passed and was not started by Holdfast', () => {
  const found = starting(0, 'found', POLICY);
  const launched = starting(0, 'launched', POLICY);
  const unverified = after(found, FAIL, FAIL, FAIL);

  test('is unverified when it was there before, whatever its probes say', () => {
    expect(unverified).toMatchObject({ kind: 'unverified', answers: true, detail: 'HTTP 503' });
    expect(after(found, SILENCE, SILENCE, SILENCE)).toMatchObject({ kind: 'unverified', answers: false });
    expect(afterTime(after(found, FAIL, PASS, FAIL), POLICY, 30_000).kind).toBe('unverified');
  });

  test('has its start time-out when PM2 has just started it, and is unverified only if it answers', () => {
    expect(after(launched, ...Array.from({ length: 20 }, () => FAIL)).kind).toBe('starting');
    const late = after(launched, FAIL, FAIL);
    expect(afterProbe(late, FAIL, POLICY, 30_000).kind).toBe('unverified');
    expect(afterProbe(late, SILENCE, POLICY, 30_000)).toMatchObject({ kind: 'unfit', cause: 'not-ready' });
  });

  test('stays so for as long as it is watched, and gets traffic while it answers', () => {
    const day = Array.from({ length: 2_880 }, () => FAIL);
    expect(after(unverified, ...day)).toMatchObject({ kind: 'unverified', answers: true });
    expect(mayServe(after(unverified, SILENCE, SILENCE))).toBe(true);
    const silent = after(unverified, SILENCE, SILENCE, SILENCE);
    expect([silent.kind, mayServe(silent)]).toEqual(['unverified', false]);
    expect(mayServe(after(silent, FAIL))).toBe(true);
  });

  test('is verified by passing, and from then on falls like any other', () => {
    expect(after(unverified, PASS, FAIL, PASS).kind).toBe('unverified');
    expect(after(unverified, PASS, PASS).kind).toBe('fit');
    expect(after(unverified, PASS, PASS, FAIL, FAIL, FAIL).kind).toBe('unfit');
  });

  test('is unfit while its agent says that it hangs, and unverified again afterwards', () => {
    const hung = condemned(unverified, { cause: 'hung', detail: 'blocked', held: false }, 5)!;
    expect(hung).toMatchObject({ kind: 'unfit', cause: 'hung', wasReady: true });
    expect(after(hung, SILENCE, SILENCE, SILENCE, SILENCE).kind).toBe('unfit');
    expect(released(hung, 9)).toMatchObject({ kind: 'unverified', answers: true, sinceMs: 9 });
  });

  test('that is older than its start time-out still gets as many probes as it takes to fall', () => {
    const old = starting(0, 'started', POLICY, 3_600_000);
    expect(after(old, FAIL, FAIL).kind).toBe('starting');
    expect(afterProbe(after(old, FAIL, FAIL), FAIL, POLICY, 3_000)).toMatchObject({ cause: 'not-ready' });
  });
});

describe('condemned', () => {
  const HUNG = { cause: 'hung', detail: 'blocked in f', held: false } as const;
  const STALLED = { cause: 'stalled', detail: 'nothing finishes', held: true } as const;

  test('a fit one is unfit at once, and so is one that was running when it was first seen', () => {
    const unfit = {
      kind: 'unfit',
      sinceMs: 7,
      passes: 0,
      cause: 'hung',
      detail: 'blocked in f',
      wasReady: true,
    };
    expect(condemned(FIT, HUNG, 7)).toEqual(unfit);
    expect(condemned(starting(0, 'known', POLICY), HUNG, 7)).toEqual(unfit);
  });

  test('one that is starting may block for as long as a start may take; an unfit one keeps its cause', () => {
    expect(condemned(starting(0, 'started', POLICY), HUNG, 7)).toBeNull();
    expect(condemned(ILL, HUNG, 7)).toBeNull();
  });

  test('passing probes bring it back', () => {
    expect(after(condemned(FIT, HUNG, 0)!, PASS, PASS).kind).toBe('fit');
  });

  test('but not one that they called well all the time, until it is released', () => {
    const held = condemned(FIT, STALLED, 0)!;
    expect(after(held, ...Array.from({ length: 50 }, () => PASS))).toEqual(held);
    expect(isUnsettled(after(held, PASS))).toBe(false);
    expect(after(released(held, 0), PASS)).toMatchObject({ kind: 'unfit', cause: 'stalled', passes: 1 });
    expect(after(released(held, 0), PASS, PASS).kind).toBe('fit');
    expect(released(FIT, 0)).toBe(FIT);
  });
});

describe('the pause between probes', () => {
  const delay = (state: HealthState, nowMs = 0, random = 0.5): number =>
    probeDelayMs(state, POLICY, nowMs, random);

  test('settled: the interval, give or take a tenth', () => {
    expect(delay(FIT)).toBe(30_000);
    expect(delay(FIT, 0, 0)).toBe(27_000);
    expect(delay(FIT, 0, 0.999)).toBeLessThan(33_000);
  });

  test('in doubt, or unfit: the fast interval', () => {
    expect(delay(after(FIT, FAIL))).toBe(1_000);
    expect(delay(ILL)).toBe(1_000);
    expect(delay(after(ILL, PASS))).toBe(1_000);
  });

  test('starting: often at first, growing with its age to the fast interval', () => {
    const delays = [0, 100, 500, 2_000, 10_000, 20_000].map((ageMs) =>
      delay(starting(0, 'started', POLICY), ageMs),
    );
    expect(delays).toEqual([20, 20, 50, 200, 1_000, 1_000]);
  });

  test('doubt is what contradicts the state', () => {
    expect([FIT, ILL].map(isUnsettled)).toEqual([false, false]);
    expect([after(FIT, FAIL), after(ILL, PASS), starting(0, 'known', POLICY)].map(isUnsettled)).toEqual([
      true,
      true,
      true,
    ]);
  });
});

test('what others see of it carries only what they need', () => {
  expect(fitnessOf(starting(5, 'known', POLICY))).toEqual({ kind: 'starting' });
  expect(fitnessOf({ ...FIT, sinceMs: 5 })).toEqual({ kind: 'fit', sinceMs: 5 });
  expect(fitnessOf(ILL)).toEqual({ kind: 'unfit', sinceMs: 0, cause: 'unhealthy', detail: 'HTTP 503' });
});

describe('any sequence of results', () => {
  const policies: fc.Arbitrary<HealthPolicy> = fc.record({
    probe: fc.constant({ kind: 'tcp' as const }),
    intervalMs: fc.integer({ min: 100, max: 60_000 }),
    timeoutMs: fc.integer({ min: 10, max: 10_000 }),
    fastIntervalMs: fc.integer({ min: 20, max: 5_000 }),
    fall: fc.integer({ min: 1, max: 5 }),
    rise: fc.integer({ min: 1, max: 5 }),
    startTimeoutMs: fc.integer({ min: 1, max: 60_000 }),
  });
  const verdicts = fc.constantFrom(PASS, FAIL, SILENCE);
  const histories = fc.array(fc.record({ verdict: verdicts, afterMs: fc.nat({ max: 3_000 }) }), {
    maxLength: 60,
  });

  interface Seen {
    readonly atMs: number;
    readonly ok: boolean;
  }

  /** Whether the last `count` of those are all like that. */
  const lastAre = (seen: readonly Seen[], count: number, ok: boolean): boolean =>
    seen.length >= count && seen.slice(-count).every((one) => one.ok === ok);

  /** The kind of the state, by looking at the whole history since the last change each time. */
  function naively(history: readonly Seen[], policy: HealthPolicy, adopted: boolean): HealthState['kind'] {
    let kind: HealthState['kind'] = 'starting';
    let since: Seen[] = [];
    for (const one of history) {
      since.push(one);
      const before: HealthState['kind'] = kind;
      if (kind !== 'fit' && lastAre(since, policy.rise, true)) kind = 'fit';
      else if ((kind === 'fit' || (kind === 'starting' && adopted)) && lastAre(since, policy.fall, false)) {
        kind = 'unfit';
      } else if (kind === 'starting' && one.atMs >= policy.startTimeoutMs) kind = 'unfit';
      if (kind !== before) since = [];
    }
    return kind;
  }

  /** What the monitor does with each result. */
  function step(state: HealthState, verdict: Verdict, policy: HealthPolicy, nowMs: number): HealthState {
    return afterTime(afterProbe(state, verdict, policy, nowMs), policy, nowMs);
  }

  test('gives what a naive look at the whole history gives', () => {
    fc.assert(
      fc.property(policies, fc.boolean(), histories, (policy, adopted, history) => {
        let state = starting(0, adopted ? 'known' : 'started', policy);
        let nowMs = 0;
        const seen: Seen[] = [];
        for (const { verdict, afterMs } of history) {
          nowMs += afterMs;
          seen.push({ atMs: nowMs, ok: verdict.ok });
          state = step(state, verdict, policy, nowMs);
          expect(state.kind).toBe(naively(seen, policy, adopted));
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test('is unsettled exactly while starting or when the last result contradicts it', () => {
    fc.assert(
      fc.property(policies, fc.boolean(), histories, (policy, adopted, history) => {
        let state = starting(0, adopted ? 'known' : 'started', policy);
        let nowMs = 0;
        for (const { verdict, afterMs } of history) {
          nowMs += afterMs;
          const before = state.kind;
          state = step(state, verdict, policy, nowMs);
          const contradicts = state.kind === before && verdict.ok === (state.kind === 'unfit');
          expect(isUnsettled(state)).toBe(state.kind === 'starting' || contradicts);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('the pause is between 20 ms and the interval and a tenth, and short while in doubt', () => {
    fc.assert(
      fc.property(
        policies,
        fc.boolean(),
        histories,
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (policy, adopted, history, random) => {
          let state = starting(0, adopted ? 'known' : 'started', policy);
          let nowMs = 0;
          for (const { verdict, afterMs } of history) {
            nowMs += afterMs;
            state = step(state, verdict, policy, nowMs);
            const delayMs = probeDelayMs(state, policy, nowMs, random);
            const short = state.kind === 'unfit' || isUnsettled(state);
            expect(delayMs).toBeGreaterThanOrEqual(
              Math.min(20, 0.9 * policy.intervalMs, 0.9 * policy.fastIntervalMs) - 1e-6,
            );
            expect(delayMs).toBeLessThanOrEqual(
              1.1 * (short ? policy.fastIntervalMs : policy.intervalMs) + 1e-6,
            );
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
