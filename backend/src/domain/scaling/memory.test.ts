import { describe, expect, test } from 'vitest';
import {
  downWindowFactor,
  NO_MEMORY,
  remember,
  restoreMemory,
  REVERSAL_MEMORY_MS,
  saveMemory,
  type ScalingMemory,
} from './memory.js';

/** Moves of the autoscaler, a minute and a half apart: `ud` is up, then down. */
function moves(directions: string, fromMs = 0): { memory: ScalingMemory; endMs: number } {
  let memory = NO_MEMORY;
  let atMs = fromMs;
  for (const letter of directions) {
    atMs += 90_000;
    memory = remember(memory, { atMs, direction: letter === 'u' ? 'up' : 'down', by: 'autoscaler' });
  }
  return { memory, endMs: atMs };
}

describe('the memory of moves', () => {
  test.each([
    ['', 1],
    ['uuu', 1],
    ['ddd', 1],
    ['ud', 1], // the end of a burst is no mistake
    ['du', 2],
    ['uddu', 2],
    ['dudu', 4],
    ['dudududu', 4],
  ])('after %j the down-window is × %d', (directions, factor) => {
    const { memory, endMs } = moves(directions);
    expect(downWindowFactor(memory, endMs)).toBe(factor);
  });

  test('a reversal is forgotten after a quarter of an hour', () => {
    const { memory, endMs } = moves('dudu');
    expect(downWindowFactor(memory, endMs + REVERSAL_MEMORY_MS - 1)).toBe(4);
    expect(downWindowFactor(memory, endMs + REVERSAL_MEMORY_MS)).toBe(1);
    const later = endMs + 2 * REVERSAL_MEMORY_MS;
    const down = remember(memory, { atMs: later, direction: 'down', by: 'autoscaler' });
    const up = remember(down, { atMs: later + 90_000, direction: 'up', by: 'autoscaler' });
    expect(downWindowFactor(up, later + 90_000)).toBe(2);
  });

  test("an operator's moves are no reversals of the autoscaler", () => {
    const down = remember(NO_MEMORY, { atMs: 1, direction: 'down', by: 'operator' });
    const up = remember(down, { atMs: 2, direction: 'up', by: 'autoscaler' });
    expect(downWindowFactor(up, 3)).toBe(1);
    const shrunk = remember(NO_MEMORY, { atMs: 1, direction: 'down', by: 'autoscaler' });
    expect(downWindowFactor(remember(shrunk, { atMs: 2, direction: 'up', by: 'operator' }), 3)).toBe(1);
  });

  test('comes back from JSON on another monotonic clock', () => {
    const { memory, endMs } = moves('dudu', 1_000_000);
    const saved: unknown = JSON.parse(JSON.stringify(saveMemory(memory, 1_700_000_000_000)));
    const shiftMs = endMs - 5;
    const back = restoreMemory(saved, 1_700_000_000_000 + shiftMs, 10);
    expect(back?.lastMove).toEqual({ ...memory.lastMove, atMs: 5 });
    expect(back?.lastReversalAtMs).toBe(5);
    expect(back?.reversals).toBe(2);
    expect(restoreMemory(saved, 1_700_000_000_000, endMs)).toEqual(memory);
  });
});
