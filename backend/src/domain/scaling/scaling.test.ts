import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ScalingPolicy } from '../policy.js';
import {
  decide,
  DEFAULT_DOWN_WINDOW_MS,
  DEFAULT_UP_WINDOW_MS,
  type Decision,
  type ScalingInput,
} from './scaling.js';
import { NO_MEMORY, remember, type ScalingMemory } from './memory.js';
import type { LoadSample } from './window.js';

const MEBIBYTE = 1_048_576;
const NOW_MS = 10_000_000;
const policy: ScalingPolicy = {
  minInstances: 1,
  maxInstances: 8,
  cpuHighPercent: 80,
  cpuLowPercent: 30,
  memoryHighPercent: 80,
  memoryLowPercent: 30,
  cooldownMs: 60_000,
  upWindowMs: DEFAULT_UP_WINDOW_MS,
  downWindowMs: DEFAULT_DOWN_WINDOW_MS,
  autoscale: true,
};
const roomyHost = { memoryTotalBytes: 32_768 * MEBIBYTE, memoryAvailableBytes: 16_384 * MEBIBYTE };

interface Shape {
  readonly ready?: number;
  readonly known?: number;
  readonly starting?: number;
  /** Of each known ready instance. */
  readonly load?: number;
  readonly memory?: number | null;
  /** Of each known ready instance; null where there is no agent. */
  readonly backlog?: number | null;
}

function sample(atMs: number, shape: Shape): LoadSample {
  const ready = shape.ready ?? 2;
  const known = Math.min(shape.known ?? ready, ready);
  const memoryPercent = shape.memory === undefined ? 20 : shape.memory;
  return {
    atMs,
    ready,
    starting: shape.starting ?? 0,
    known,
    demandPercent: known * (shape.load ?? 50),
    backlogPercent: shape.backlog == null ? null : known * shape.backlog,
    memoryPercent,
    memoryBytes: memoryPercent === null ? null : memoryPercent * 5 * MEBIBYTE,
  };
}

/** One sample a second over the last `forMs`, ending now. */
function history(forMs: number, shapeAt: (agoMs: number) => Shape): LoadSample[] {
  const samples: LoadSample[] = [];
  for (let agoMs = forMs; agoMs >= 0; agoMs -= 1000) samples.push(sample(NOW_MS - agoMs, shapeAt(agoMs)));
  return samples;
}

function ask(
  samples: readonly LoadSample[],
  changes: Partial<ScalingInput> = {},
  memory: ScalingMemory = NO_MEMORY,
  rules: Partial<ScalingPolicy> = {},
): Decision {
  const input = { nowMs: NOW_MS, desired: 2, samples, host: roomyHost, blocked: null, ...changes };
  return decide(input, { ...policy, ...rules }, memory);
}

const movedAgo = (agoMs: number, direction: 'up' | 'down'): ScalingMemory =>
  remember(NO_MEMORY, { atMs: NOW_MS - agoMs, direction, by: 'autoscaler' });

describe('growing', () => {
  test('jumps to the count that brings the load to the target', () => {
    const decision = ask(history(15_000, () => ({ load: 92 })));
    expect(decision).toMatchObject({ action: 'up', from: 2, to: 4, cause: 'load-high', limitedBy: null });
    expect(decision.reason).toBe('load 92 % over 10 s is above 80 %: 2 → 4 instances for a target of 55 %');
  });

  test('a sustained burn moves within one up-window of samples', () => {
    expect(ask(history(10_000, () => ({ load: 100 }))).action).toBe('up');
    const early = ask(history(9_000, () => ({ load: 100 })));
    expect(early).toMatchObject({ action: 'hold', limitedBy: 'window' });
    expect(early.reason).toBe('hold: load 100 % is above 80 %, watched for 9 s of 10 s');
  });

  test('a window of a second or two is covered by unsteady ticks a second apart', () => {
    for (const upWindowMs of [1000, 2000, 3000]) {
      const samples = [7050, 6010, 5070, 4000, 3090, 2010, 1060, 20].map((ago) =>
        sample(NOW_MS - ago, { load: 100 }),
      );
      expect(ask(samples, {}, NO_MEMORY, { upWindowMs }).action).toBe('up');
    }
  });

  test('a burst of five seconds moves nothing', () => {
    for (let burstEndMs = 0; burstEndMs <= 10_000; burstEndMs += 1000) {
      const decision = ask(
        history(60_000, (ago) => ({ load: ago >= burstEndMs && ago < burstEndMs + 5000 ? 100 : 40 })),
      );
      expect(decision.action).toBe('hold');
    }
  });

  test('is limited by the maximum, and says so', () => {
    const samples = history(15_000, () => ({ load: 100 }));
    const some = ask(samples, {}, NO_MEMORY, { maxInstances: 3 });
    expect(some).toMatchObject({ action: 'up', to: 3, limitedBy: 'max' });
    expect(some.reason).toContain('limited to the maximum of 3');
    const none = ask(samples, {}, NO_MEMORY, { maxInstances: 2 });
    expect(none).toMatchObject({ action: 'hold', to: 2, limitedBy: 'max' });
    expect(none.reason).toBe('hold: load 100 % over 10 s is above 80 %, 2 is the maximum');
  });

  test("is limited by the host's memory, less a tenth kept back", () => {
    const samples = history(15_000, () => ({ load: 100, memory: 20 })); // 100 MiB an instance
    const host = (availableMiB: number) => ({
      memoryTotalBytes: 1000 * MEBIBYTE,
      memoryAvailableBytes: availableMiB * MEBIBYTE,
    });
    expect(ask(samples, { host: host(290) })).toMatchObject({ to: 3, limitedBy: 'host-memory' });
    const none = ask(samples, { host: host(190) });
    expect(none).toMatchObject({ action: 'hold', limitedBy: 'host-memory' });
    expect(none.reason).toContain('190 MiB available, 10 % kept back, 100 MiB an instance');
    expect(ask(samples, { host: null })).toMatchObject({ to: 4, limitedBy: null });
  });

  test('what is starting is capacity on its way, not a reason for more', () => {
    const one = history(15_000, () => ({ ready: 1, starting: 1, load: 95 }));
    const decision = ask(one);
    expect(decision).toMatchObject({ action: 'hold', limitedBy: 'starting' });
    expect(decision.reason).toContain('1 more is on the way, which makes it 48 %');
    const two = history(15_000, () => ({ ready: 2, starting: 1, load: 140 }));
    expect(ask(two, { desired: 3 })).toMatchObject({ action: 'up', to: 6 });
  });

  test('a crash makes no demand: the survivors are judged by what they show now', () => {
    const samples = history(15_000, (ago) => (ago > 0 ? { ready: 2, load: 95 } : { ready: 1, load: 20 }));
    expect(ask(samples).action).toBe('hold');
  });

  test('a new instance takes its share at once: samples of the smaller service do not grow it again', () => {
    const samples = history(15_000, (ago) => (ago > 2000 ? { ready: 1, load: 98 } : { ready: 2, load: 85 }));
    expect(ask(samples)).toMatchObject({ action: 'hold', limitedBy: 'window' });
  });

  test('for memory: one more when the host has room, none when that is not known', () => {
    const samples = history(15_000, () => ({ load: 50, memory: 90 }));
    const decision = ask(samples);
    expect(decision).toMatchObject({ action: 'up', to: 3, cause: 'memory-high' });
    expect(decision.reason).toBe('memory 90 % over 10 s is above 80 %: 2 → 3 instances');
    expect(ask(samples, { host: null })).toMatchObject({ action: 'hold', limitedBy: 'missing-data' });
    const full = { memoryTotalBytes: 1000 * MEBIBYTE, memoryAvailableBytes: 300 * MEBIBYTE };
    expect(ask(samples, { host: full })).toMatchObject({ action: 'hold', limitedBy: 'host-memory' });
  });
});

describe('growing for work that waits', () => {
  /** Saturated for three seconds, quiet before; the backlog of each of `ready` grows by `growth` percent a second. */
  const queue = (ready: number, growth: number, from = 5) =>
    history(60_000, (ago) =>
      ago < 4000
        ? { ready, load: 100, backlog: from + (growth * (3000 - ago)) / 1000 }
        : { ready, load: 60, backlog: 0 },
    );

  test('jumps to what arrives, and says what waits', () => {
    // Each second 2 s more work than is done arrive: 300 %, for one that is at 100 %.
    const decision = ask(queue(1, 20), { desired: 1 });
    expect(decision).toMatchObject({ action: 'up', from: 1, to: 5, cause: 'load-high', limitedBy: null });
    expect(decision.reason).toBe(
      'load 100 % over 3 s is above 80 %, 6.5 s of work waits in each instance and 300 % of a core arrives: ' +
        '1 → 5 instances for a target of 72 %',
    );
    expect(decision.inputs).toMatchObject({ loadPercent: 100, backlogPercent: 65 });
  });

  test('a full backlog that no longer grows is worked off within ten seconds', () => {
    const samples = history(60_000, () => ({ ready: 2, load: 100, backlog: 100 }));
    expect(ask(samples, { desired: 2 })).toMatchObject({ action: 'up', to: 4 });
  });

  test('grows by more than the load alone could ask for', () => {
    const seen = ask(queue(1, 30), { desired: 1 }).to;
    const blind = ask(
      history(60_000, () => ({ ready: 1, load: 100 })),
      { desired: 1 },
    ).to;
    expect(seen).toBeGreaterThan(blind);
    expect(blind).toBe(2);
  });

  test('a queue nobody notices, or for less than three seconds, waits for the up-window', () => {
    expect(ask(queue(2, 0, 2), {})).toMatchObject({ action: 'hold' });
    const young = history(60_000, (ago) => ({ load: ago < 2000 ? 100 : 60, backlog: ago < 2000 ? 90 : 0 }));
    expect(ask(young)).toMatchObject({ action: 'hold' });
  });

  test('while it is not known yet how fast work piles up, a small jump is not made', () => {
    const samples = history(60_000, (ago) => ({ load: 100, backlog: ago < 2000 ? 20 : 0 }));
    const decision = ask(samples);
    expect(decision).toMatchObject({ action: 'hold', limitedBy: 'window' });
    expect(decision.reason).toBe(
      'hold: load 100 % over 10 s is above 80 %; how fast work piles up is being watched',
    );
  });

  test('not when one of several has it: more instances would not take it away', () => {
    const samples = history(60_000, () => ({ ready: 4, load: 40, backlog: 25 }));
    expect(ask(samples, { desired: 4 })).toMatchObject({ action: 'hold', cause: 'steady' });
  });

  test('what is on its way counts, and cooldown and bounds hold as for any other move', () => {
    const one = history(60_000, () => ({ ready: 1, starting: 3, load: 100, backlog: 80 }));
    expect(ask(one, { desired: 4 })).toMatchObject({ action: 'hold', limitedBy: 'starting' });
    expect(ask(queue(1, 20), { desired: 1 }, movedAgo(30_000, 'up'))).toMatchObject({
      limitedBy: 'cooldown',
    });
    expect(ask(queue(1, 20), { desired: 1 }, NO_MEMORY, { maxInstances: 3 })).toMatchObject({
      to: 3,
      limitedBy: 'max',
    });
  });

  test('what an instance brings when it joins is not taken for what arrives', () => {
    const samples = history(60_000, (ago) =>
      ago < 2000 ? { ready: 2, load: 100, backlog: 50 } : { ready: 1, load: 100, backlog: 20 },
    );
    // 167 % over the three seconds and 10 s to work off: 3; growth from 20 to 100 would make it 7.
    expect(ask(samples, { desired: 2 })).toMatchObject({ to: 3 });
  });

  test('with agents a load above HIGH without a queue aims clear of HIGH', () => {
    const decision = ask(history(15_000, () => ({ load: 92, backlog: 0 })));
    expect(decision).toMatchObject({ action: 'up', to: 3 });
    expect(decision.reason).toBe('load 92 % over 10 s is above 80 %: 2 → 3 instances for a target of 72 %');
  });
});

test('memory must be high for the whole up-window too', () => {
  const decision = ask(history(5_000, () => ({ load: 50, memory: 90 })));
  expect(decision).toMatchObject({ action: 'hold', cause: 'memory-high', limitedBy: 'window' });
});

test("instances on their way have their part of the host's memory already", () => {
  const samples = history(15_000, () => ({ ready: 2, starting: 1, load: 140, memory: 20 }));
  const host = { memoryTotalBytes: 1000 * MEBIBYTE, memoryAvailableBytes: 390 * MEBIBYTE };
  // Room for two: one is starting, one is left.
  expect(ask(samples, { desired: 3, host })).toMatchObject({ to: 4, limitedBy: 'host-memory' });
});

describe('shrinking', () => {
  const idle = history(70_000, () => ({ load: 20 }));

  test('needs the whole window below low', () => {
    const decision = ask(idle);
    expect(decision).toMatchObject({ action: 'down', from: 2, to: 1, limitedBy: null });
    expect(decision.reason).toBe('load at most 20 % over 60 s is below 30 %: 2 → 1 instance');
    const short = ask(history(43_000, () => ({ load: 20 })));
    expect(short).toMatchObject({ action: 'hold', limitedBy: 'window' });
    expect(short.reason).toBe('hold: load 20 % is below 30 %, watched for 43 s of 60 s');
  });

  test('ten busy seconds within the window keep everything, one does not', () => {
    const busy = (forMs: number) =>
      history(70_000, (ago) => ({ load: ago >= 30_000 && ago < 30_000 + forMs ? 90 : 15 }));
    expect(ask(busy(1000)).action).toBe('down');
    const kept = ask(busy(10_000));
    expect(kept).toMatchObject({ action: 'hold', limitedBy: 'window' });
    expect(kept.reason).toContain('but reached 90 % within 60 s');
  });

  test('a hole in the samples is not quiet', () => {
    const holed = idle.filter((s) => s.atMs < NOW_MS - 40_000 || s.atMs > NOW_MS - 20_000);
    expect(ask(holed)).toMatchObject({ action: 'hold', limitedBy: 'window' });
  });

  test('an instance that was silent within the window may have been busy', () => {
    const samples = history(70_000, (ago) => ({ known: ago > 30_000 && ago < 50_000 ? 1 : 2, load: 5 }));
    expect(ask(samples)).toMatchObject({ action: 'hold', limitedBy: 'window' });
  });

  test('jumps as far as the target allows', () => {
    const samples = history(70_000, () => ({ ready: 8, load: 20 }));
    expect(ask(samples, { desired: 8 })).toMatchObject({ to: 3 });
  });

  test('stops where what remains would be too busy', () => {
    const samples = history(70_000, () => ({ load: 45 }));
    const decision = ask(samples, {}, NO_MEMORY, { cpuLowPercent: 60 });
    expect(decision).toMatchObject({ action: 'hold', limitedBy: 'projection' });
    expect(decision.reason).toContain('1 would be at 90 %');
  });

  test('memory between low and high is projected, below low it never objects', () => {
    const at = (memory: number) => history(70_000, () => ({ ready: 4, load: 5, memory }));
    expect(ask(at(25), { desired: 4 })).toMatchObject({ to: 1 });
    expect(ask(at(36), { desired: 4 })).toMatchObject({ to: 2 });
    const full = ask(at(60), { desired: 4 });
    expect(full).toMatchObject({ action: 'hold', limitedBy: 'memory' });
    expect(full.reason).toContain('memory 60 % would become 80 % with 3');
  });

  test('memory stands in the way for five windows, not for ever', () => {
    const samples = history(70_000, () => ({ ready: 4, load: 5, memory: 60 }));
    const since = (agoMs: number): ScalingMemory => ({
      ...NO_MEMORY,
      memoryBlockedSinceMs: NOW_MS - agoMs,
    });
    expect(ask(samples, { desired: 4 }, since(299_000))).toMatchObject({ limitedBy: 'memory' });
    expect(ask(samples, { desired: 4 }, since(300_000))).toMatchObject({ action: 'down', to: 3 });
  });

  test('an idle service full of garbage at its maximum can still shrink', () => {
    const samples = history(70_000, () => ({ ready: 4, load: 5, memory: 95 }));
    const patient = { ...NO_MEMORY, memoryBlockedSinceMs: NOW_MS - 300_000 };
    expect(ask(samples, { desired: 4 }, NO_MEMORY, { maxInstances: 4 })).toMatchObject({
      limitedBy: 'memory',
    });
    expect(ask(samples, { desired: 4 }, patient, { maxInstances: 4 })).toMatchObject({ to: 3 });
  });

  test('memory alone never shrinks', () => {
    const samples = history(70_000, () => ({ load: 50, memory: 1 }));
    expect(ask(samples)).toMatchObject({ action: 'hold', cause: 'steady' });
  });

  test('waits a whole window after growing, and twice that after a reversal', () => {
    expect(ask(idle, {}, movedAgo(61_000, 'up')).action).toBe('down');
    const young = ask(idle, {}, movedAgo(50_000, 'up'), { cooldownMs: 0 });
    expect(young).toMatchObject({ action: 'hold', limitedBy: 'window' });
    const regretted = remember(movedAgo(300_000, 'down'), {
      atMs: NOW_MS - 100_000,
      direction: 'up',
      by: 'autoscaler',
    });
    const slower = ask(
      history(200_000, () => ({ load: 20 })),
      {},
      regretted,
    );
    expect(slower).toMatchObject({ action: 'hold', limitedBy: 'window' });
    expect(slower.reason).toContain('of 120 s (longer: it grew again soon after shrinking)');
  });

  test('does not shrink while an instance is missing', () => {
    const samples = history(70_000, () => ({ ready: 2, load: 10 }));
    expect(ask(samples, { desired: 3 })).toMatchObject({ action: 'hold', limitedBy: 'starting' });
  });
});

describe('holding', () => {
  const hot = history(15_000, () => ({ load: 95 }));

  test('in the cooldown, with what is left of it and what waits', () => {
    const decision = ask(hot, {}, movedAgo(37_000, 'up'));
    expect(decision).toMatchObject({ action: 'hold', limitedBy: 'cooldown' });
    expect(decision.reason).toBe(
      'hold: cooldown 23 s left; load 95 % over 10 s is above 80 %, which asks for 4 instances',
    );
  });

  test('rather than turning back within a minute, however short the cooldown', () => {
    const decision = ask(hot, {}, movedAgo(20_000, 'down'), { cooldownMs: 0 });
    expect(decision).toMatchObject({ action: 'hold', limitedBy: 'reversal' });
    expect(decision.reason).toContain('no turning back for another 40 s after going down');
  });

  test('when blocked, unmanaged, without instances or without figures', () => {
    const blocked = { by: 'quarantine', reason: 'quarantined: its restart budget is spent' } as const;
    expect(ask(hot, { blocked })).toMatchObject({ action: 'hold', limitedBy: 'quarantine' });
    const off = ask(hot, {}, NO_MEMORY, { autoscale: false });
    expect(off).toMatchObject({ action: 'hold', limitedBy: 'autoscale-off' });
    expect(off.reason).toContain('which asks for 4 instances');
    expect(ask([])).toMatchObject({ action: 'hold', limitedBy: 'missing-data' });
    expect(ask(history(15_000, () => ({ known: 0 })))).toMatchObject({ limitedBy: 'missing-data' });
    expect(ask(history(15_000, () => ({ ready: 0, starting: 2 })))).toMatchObject({
      limitedBy: 'starting',
    });
  });

  test('when the last figures are old', () => {
    const old = hot.filter((s) => s.atMs <= NOW_MS - 11_000);
    expect(ask(old)).toMatchObject({ action: 'hold', limitedBy: 'missing-data' });
  });
});

test('a count outside its bounds is brought back at once, without figures and without cooldown', () => {
  const memory = movedAgo(1000, 'up');
  expect(ask([], { desired: 1 }, memory, { minInstances: 3 })).toMatchObject({ action: 'up', to: 3 });
  expect(ask([], { desired: 9 }, memory)).toMatchObject({ action: 'down', to: 8 });
});

// ── properties ───────────────────────────────────────────────────────────────────────────────────────────────

const shapes = fc.record({
  ready: fc.integer({ min: 0, max: 10 }),
  known: fc.integer({ min: 0, max: 10 }),
  starting: fc.integer({ min: 0, max: 3 }),
  load: fc.double({ min: 0, max: 250, noNaN: true }),
  memory: fc.option(fc.double({ min: 0, max: 150, noNaN: true })),
  backlog: fc.option(fc.double({ min: 0, max: 100, noNaN: true })),
});
/** Stretches of constant behaviour, oldest first: windows really fill. */
const histories = fc
  .array(fc.record({ shape: shapes, seconds: fc.integer({ min: 1, max: 90 }) }), { maxLength: 4 })
  .map((stretches) => {
    const shapesBySecond = stretches.flatMap(({ shape, seconds }) => Array<Shape>(seconds).fill(shape));
    return shapesBySecond.map((shape, i) => sample(NOW_MS - (shapesBySecond.length - 1 - i) * 1000, shape));
  });
const memories = fc
  .array(
    fc.record({
      agoMs: fc.integer({ min: 0, max: 2_000_000 }),
      direction: fc.constantFrom('up' as const, 'down' as const),
      by: fc.constantFrom('autoscaler' as const, 'operator' as const),
    }),
    { maxLength: 6 },
  )
  .map((moves) =>
    moves
      .toSorted((a, b) => b.agoMs - a.agoMs)
      .reduce((memory, { agoMs, ...move }) => remember(memory, { ...move, atMs: NOW_MS - agoMs }), NO_MEMORY),
  );
const policies = fc
  .record({
    minInstances: fc.integer({ min: 1, max: 4 }),
    extra: fc.integer({ min: 0, max: 6 }),
    cpuLowPercent: fc.integer({ min: 1, max: 60 }),
    cpuHighPercent: fc.integer({ min: 61, max: 99 }),
    cooldownMs: fc.constantFrom(0, 10_000, 60_000),
    autoscale: fc.constantFrom(true, true, true, false),
  })
  .map(({ extra, ...rest }): ScalingPolicy =>
    Object.assign({}, policy, rest, { maxInstances: rest.minInstances + extra }),
  );
const hosts = fc.option(
  fc.record({
    memoryTotalBytes: fc.constant(4096 * MEBIBYTE),
    memoryAvailableBytes: fc.integer({ min: 0, max: 4096 * MEBIBYTE }),
  }),
);

describe('whatever the figures', () => {
  const situations = fc.record({
    desired: fc.integer({ min: 0, max: 12 }),
    samples: histories,
    host: hosts,
    rules: policies,
    memory: memories,
  });

  test('never outside min and max, always with a reason, the same when asked again', () => {
    fc.assert(
      fc.property(situations, ({ rules, memory, ...rest }) => {
        const input = { ...rest, nowMs: NOW_MS, blocked: null };
        const decision = decide(input, rules, memory);
        if (decision.action !== 'hold') {
          expect(decision.to).toBeLessThanOrEqual(rules.maxInstances);
          expect(decision.to).toBeGreaterThanOrEqual(rules.minInstances);
        }
        const direction = Math.sign(decision.to - decision.from);
        expect(decision.action).toBe(direction === 0 ? 'hold' : direction > 0 ? 'up' : 'down');
        expect(decision.reason.startsWith('hold: ')).toBe(decision.action === 'hold');
        expect(decision.reason).not.toMatch(/NaN|Infinity|undefined|null|-\d/);
        expect(decision.reason.length).toBeGreaterThan(12);
        expect(decide(input, rules, memory)).toEqual(decision);
      }),
      { numRuns: 2000 },
    );
  });

  test('an automatic move respects cooldown and never turns back within a minute', () => {
    fc.assert(
      fc.property(situations, ({ rules, memory, ...rest }) => {
        const decision = decide({ ...rest, nowMs: NOW_MS, blocked: null }, rules, memory);
        if (decision.action === 'hold' || decision.cause === 'bounds' || memory.lastMove === null) return;
        const sinceMs = NOW_MS - memory.lastMove.atMs;
        expect(sinceMs).toBeGreaterThanOrEqual(rules.cooldownMs);
        if (memory.lastMove.direction !== decision.action) expect(sinceMs).toBeGreaterThanOrEqual(60_000);
      }),
      { numRuns: 2000 },
    );
  });

  test('without figures nothing moves, and a blocked service never does', () => {
    fc.assert(
      fc.property(situations, ({ rules, memory, ...rest }) => {
        const desired = Math.max(rules.minInstances, Math.min(rules.maxInstances, rest.desired));
        const input = { ...rest, desired, nowMs: NOW_MS, blocked: null };
        const silent = input.samples.map((s) => sample(s.atMs, { ready: s.ready, known: 0 }));
        expect(decide({ ...input, samples: silent }, rules, memory).action).toBe('hold');
        const blocked = { by: 'operation' as const, reason: 'a deploy is under way' };
        expect(decide({ ...input, blocked }, rules, memory).action).toBe('hold');
      }),
    );
  });

  test('an instance that falls silent never causes a move', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 8 }),
        fc.double({ min: 0, max: 120, noNaN: true }),
        (ready, load) => {
          const all = ask(
            history(70_000, () => ({ ready, load })),
            { desired: ready },
          );
          const some = ask(
            history(70_000, () => ({ ready, known: ready - 1, load })),
            { desired: ready },
          );
          if (all.action === 'hold') expect(some.action).toBe('hold');
          if (some.action === 'up') expect(some.to).toBeLessThanOrEqual(all.to);
          if (some.action === 'down') expect(some.to).toBeGreaterThanOrEqual(all.to);
        },
      ),
    );
  });

  test('more load never means fewer instances', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.double({ min: 0, max: 150, noNaN: true }),
        fc.double({ min: 0, max: 100, noNaN: true }),
        fc.integer({ min: 5, max: 120 }),
        memories,
        (ready, load, more, seconds, memory) => {
          const at = (level: number): number =>
            ask(
              history(seconds * 1000, () => ({ ready, load: level })),
              { desired: ready },
              memory,
            ).to;
          expect(at(load + more)).toBeGreaterThanOrEqual(at(load));
        },
      ),
      { numRuns: 500 },
    );
  });

  test('more work that waits never means fewer instances, and none moves without a load above HIGH', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.double({ min: 0, max: 100, noNaN: true }),
        fc.double({ min: 0, max: 100, noNaN: true }),
        fc.double({ min: 0, max: 100, noNaN: true }),
        memories,
        (ready, load, before, waiting, memory) => {
          const at = (backlog: number): Decision =>
            ask(
              history(70_000, (ago) => ({ ready, load, backlog: ago < 3000 ? backlog : before })),
              { desired: ready },
              memory,
            );
          expect(at(100).to).toBeGreaterThanOrEqual(at(waiting).to);
          expect(at(waiting).to).toBeGreaterThanOrEqual(at(0).to);
          if (load <= 80) expect(at(waiting).to).toBeLessThanOrEqual(ready);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('one decision settles a demand that it could measure', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.double({ min: 0, max: 100, noNaN: true }),
        (ready, load) => {
          const rules = { maxInstances: 100 };
          const first = ask(
            history(70_000, () => ({ ready, load })),
            { desired: ready },
            NO_MEMORY,
            rules,
          );
          const after = (load * ready) / first.to;
          const second = ask(
            history(70_000, () => ({ ready: first.to, load: after })),
            { desired: first.to },
            NO_MEMORY,
            rules,
          );
          if (first.action !== 'hold') expect(['hold', first.action]).toContain(second.action);
          if (first.action === 'up') expect(second.action).toBe('hold');
        },
      ),
      { numRuns: 500 },
    );
  });
});
