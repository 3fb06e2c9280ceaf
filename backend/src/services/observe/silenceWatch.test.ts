import { describe, expect, test } from 'vitest';
import type { Clock } from '../../ports.js';
import { SilenceWatch } from './silenceWatch.js';

/** A clock whose process may be held up: time passes, and no timer runs. */
function watching() {
  let nowMs = 0;
  let due: (() => void) | null = null;
  let dueMs = 0;
  const clock: Clock = {
    nowMs: () => nowMs,
    wallMs: () => nowMs,
    after: (delayMs, run) => {
      due = run;
      dueMs = nowMs + delayMs;
      return () => (due = null);
    },
  };
  const silent: { pid: number; silentMs: number }[] = [];
  let looks = 0;
  const watch = new SilenceWatch({
    clock,
    onSilent: (pid, silentMs) => silent.push({ pid, silentMs }),
    onLook: () => (looks += 1),
  });
  const advance = (durationMs: number): void => {
    const endMs = nowMs + durationMs;
    while (due !== null && dueMs <= endMs) {
      nowMs = Math.max(nowMs, dueMs);
      due();
    }
    nowMs = endMs;
  };
  const heldUp = (durationMs: number): void => {
    nowMs += durationMs;
  };
  return { watch, advance, heldUp, silent, looks: () => looks };
}

describe('SilenceWatch', () => {
  test('tells of a silence of two seconds, and again every second', () => {
    const { watch, advance, silent } = watching();
    watch.heard(1);
    advance(1_900);
    expect(silent).toEqual([]);
    advance(100);
    expect(silent).toEqual([{ pid: 1, silentMs: 2_000 }]);
    expect(watch.isSilent(1)).toBe(true);
    advance(2_000);
    expect(silent.map(({ silentMs }) => silentMs)).toEqual([2_000, 3_000, 4_000]);
  });

  test('a word ends it', () => {
    const { watch, advance, silent } = watching();
    for (let i = 0; i < 10; i++) {
      watch.heard(1);
      advance(1_500);
    }
    expect(silent).toEqual([]);
    advance(1_000);
    watch.heard(1);
    expect(watch.isSilent(1)).toBe(false);
  });

  test('who was held up itself has heard nobody, and counts anew', () => {
    const { watch, advance, heldUp, silent, looks } = watching();
    watch.heard(1);
    advance(1_750);
    heldUp(60_000);
    expect(watch.isHeldUp()).toBe(true);
    const before = looks();
    advance(0);
    expect(looks()).toBe(before);
    expect(watch.isHeldUp()).toBe(false);
    advance(1_750);
    expect(silent).toEqual([]);
    advance(250);
    expect(silent).toHaveLength(1);
  });

  test('judges what it has heard, though it is held up look after look', () => {
    const { watch, advance, heldUp, silent, looks } = watching();
    watch.heard(1);
    advance(1_000);
    const before = looks();
    for (let late = 1; late <= 4; late += 1) {
      heldUp(800);
      advance(0);
      // What was said before the first of them is heard only after it.
      expect(looks() - before).toBe(late - 1);
    }
    expect(silent).toEqual([]);
  });

  test('forgets who left, and looks no more when it is closed', () => {
    const { watch, advance, silent, looks } = watching();
    watch.heard(1);
    watch.forget(1);
    advance(5_000);
    expect(silent).toEqual([]);
    watch.close();
    const before = looks();
    advance(5_000);
    expect(looks()).toBe(before);
  });
});
