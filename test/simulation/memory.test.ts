/**
 * Lives of processes, compressed in time, judged as the supervisor judges them: is a leak foreseen a minute ahead, and is
 * what is none left alone? By trend alone: the rule that acts at nine tenths of a limit is not asked.
 *
 * Everyday: 40 lives. `HOLDFAST_MEMORY_RUNS=200` makes it that many of each kind, `SEED` other ones, `HOLDFAST_SHOW=1`
 * prints who was missed.
 */
import { describe, expect, it } from 'vitest';
import { MemoryTracker } from '../../backend/src/domain/memory/memoryTracker.js';
import type { MemoryGrowth } from '../../backend/src/domain/memory/memoryTracker.js';
import { describeGrowth, nextToRecycle } from '../../backend/src/domain/memory/recycling.js';
import { isLeak, KINDS, memoryRun, type RunKind } from '../support/memoryRuns.js';
import { policyOf, seeded } from './world.js';

const SEED = Number(process.env['SEED'] ?? 20_260_101);
const RUNS = Number(process.env['HOLDFAST_MEMORY_RUNS'] ?? 8);
const isShown = process.env['HOLDFAST_SHOW'] !== undefined;
const AHEAD_SECONDS = 60;
const policy = policyOf('simulated');

interface Verdict {
  readonly seed: number;
  /** When it would be replaced, and why; null: never. */
  readonly recycled: { readonly atSecond: number; readonly why: string; readonly usedShare: number } | null;
  /** When a limit is met if nobody does anything; null: never. */
  readonly hitAtSecond: number | null;
}

function live(kind: RunKind, seed: number, agent: boolean): Verdict {
  // What only V8's heap limit ends can't be seen from outside.
  const run = memoryRun(kind, seeded(seed), { withoutHeapLimit: !agent });
  const tracker = new MemoryTracker();
  let recycled: Verdict['recycled'] = null;
  for (let second = 1; second <= run.lengthSeconds; second += 1) {
    const { look, atLimit } = run.next();
    tracker.observe(agent ? look : { ...look, heap: null });
    const growth: MemoryGrowth | null =
      recycled === null ? growthToActOn(tracker, run.residentLimitBytes) : null;
    if (growth !== null) {
      const usedShare: number = growth.usedBytes / growth.limitBytes;
      recycled = { atSecond: second, why: describeGrowth(growth), usedShare };
      if (!isLeak(kind)) break;
    }
    if (atLimit) return { seed, recycled, hitAtSecond: second };
  }
  return { seed, recycled, hitAtSecond: null };
}

function growthToActOn(tracker: MemoryTracker, limitBytes: number): MemoryGrowth | null {
  const trend = tracker.trend(limitBytes);
  if (trend.kind !== 'growing' || !trend.sure) return null;
  const candidates = [{ instance: trend, growth: trend, isFull: false }];
  return nextToRecycle({ candidates, policy, sinceLastMs: null, othersAtWork: false });
}

const isForeseen = ({ recycled, hitAtSecond }: Verdict): boolean =>
  recycled !== null && hitAtSecond !== null && hitAtSecond - recycled.atSecond >= AHEAD_SECONDS;

function campaign(agent: boolean): { foreseen: number; falseAlarms: number } {
  const rows: Record<string, unknown>[] = [];
  const leaks: Verdict[] = [];
  const others: Verdict[] = [];
  for (const kind of KINDS) {
    const verdicts = Array.from({ length: RUNS }, (_, index) => live(kind, SEED + index * 7_919, agent));
    (isLeak(kind) ? leaks : others).push(...verdicts);
    rows.push({ kind, ...summary(kind, verdicts) });
    if (isShown) for (const line of surprises(kind, verdicts)) console.log(line);
  }
  const foreseen = leaks.filter(isForeseen).length / leaks.length;
  const falseAlarms = others.filter(({ recycled }) => recycled !== null).length / others.length;
  console.log(`seed ${SEED}, ${RUNS} lives of each kind, ${agent ? 'with agent' : 'resident memory only'}`);
  console.table(rows);
  console.log(`foreseen ${percent(foreseen)} of leaks, false alarms ${percent(falseAlarms)} of the others`);
  return { foreseen, falseAlarms };
}

function summary(kind: RunKind, verdicts: readonly Verdict[]): Record<string, unknown> {
  const acted = verdicts.filter(({ recycled }) => recycled !== null);
  if (!isLeak(kind)) return { runs: verdicts.length, 'false alarms': acted.length };
  const ahead = acted
    .map(({ recycled, hitAtSecond }) => (hitAtSecond ?? 0) - (recycled?.atSecond ?? 0))
    .sort((a, b) => a - b);
  const used = acted.map(({ recycled }) => recycled?.usedShare ?? 0).sort((a, b) => a - b);
  const at = (values: readonly number[], share: number): number =>
    values[Math.floor(share * (values.length - 1))] ?? NaN;
  return {
    runs: verdicts.length,
    foreseen: verdicts.filter(isForeseen).length,
    'ahead p5 s': at(ahead, 0.05),
    'ahead p50 s': at(ahead, 0.5),
    'ahead p95 s': at(ahead, 0.95),
    'of the limit, p5': percent(at(used, 0.05)),
    'of the limit, p50': percent(at(used, 0.5)),
  };
}

function surprises(kind: RunKind, verdicts: readonly Verdict[]): string[] {
  return verdicts
    .filter((verdict) => (isLeak(kind) ? !isForeseen(verdict) : verdict.recycled !== null))
    .map(({ seed, recycled, hitAtSecond }) =>
      [
        `${kind} ${seed}: limit at ${hitAtSecond ?? 'no time'}, `,
        recycled === null ? 'not seen' : `seen at ${recycled.atSecond}: ${recycled.why}`,
      ].join(''),
    );
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

describe('memory, from inside', () => {
  it('a leak is foreseen a minute ahead, and what is none is left alone', () => {
    const { foreseen, falseAlarms } = campaign(true);
    expect(foreseen).toBeGreaterThanOrEqual(0.95);
    expect(falseAlarms).toBeLessThanOrEqual(0.05);
  }, 1_200_000);
});

describe('memory, from outside', () => {
  it('is judged with more care: few false alarms, and most leaks are foreseen all the same', () => {
    const { foreseen, falseAlarms } = campaign(false);
    expect(foreseen).toBeGreaterThanOrEqual(0.75);
    expect(falseAlarms).toBeLessThanOrEqual(0.07);
  }, 1_200_000);
});
