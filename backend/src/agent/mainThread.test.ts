import { expect, it } from 'vitest';
import { nowMs } from './clock.js';
import { viewMainThread } from './mainThread.js';
import { sharedMemory, SLOT } from './memory.js';

it('takes a request that begins or finishes for a sign of life, as it does a turn of the loop', () => {
  const memory = sharedMemory();
  const { numbers } = memory;
  const now = nowMs();
  const view = viewMainThread(memory, now - 5_000);
  numbers[SLOT.beats] = 7;
  numbers[SLOT.beatAtMs] = now - 1_500;
  expect(view.beats()).toBe(7);
  expect(view.beatAgeMs()).toBeGreaterThanOrEqual(1_500);
  numbers[SLOT.steps] = 3;
  numbers[SLOT.lastStepAtMs] = now;
  expect(view.beats()).toBe(10);
  expect(view.beatAgeMs()).toBeLessThan(1_500);
});

it('does not judge an application that serves requests before its first turn, nor one that does nothing yet', () => {
  const memory = sharedMemory();
  const view = viewMainThread(memory, nowMs() - 5_000);
  expect(view.beats()).toBe(0);
  expect(view.beatAgeMs()).toBeGreaterThanOrEqual(5_000);
  memory.numbers[SLOT.steps] = 3;
  expect(view.beats()).toBe(0);
});

it('takes a sign of life without a time for as old as it can be at most', () => {
  const memory = sharedMemory();
  const { numbers } = memory;
  const now = nowMs();
  const view = viewMainThread(memory, now - 9_000);
  numbers[SLOT.beats] = 7;
  numbers[SLOT.beatAtMs] = now - 1_500;
  expect(view.beatAgeMs()).toBeGreaterThanOrEqual(1_500);
  numbers[SLOT.steps] = 1; // since that look
  expect(view.beatAgeMs()).toBeLessThan(1_500);
  expect(view.beatAgeMs()).toBeLessThan(1_500);
});
