import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { systemClock } from './clock.js';

describe('systemClock', () => {
  it('has a monotonic and a wall clock', () => {
    const before = systemClock.nowMs();
    expect(systemClock.nowMs()).toBeGreaterThanOrEqual(before);
    expect(Math.abs(systemClock.wallMs() - Date.now())).toBeLessThan(5_000);
  });

  it('does not keep the process alive', () => {
    const armed = vi.spyOn(globalThis, 'setTimeout');
    const cancel = systemClock.after(60_000, () => undefined);
    const timer = armed.mock.results[0]?.value as NodeJS.Timeout;
    expect(timer.hasRef()).toBe(false);
    cancel();
    armed.mockRestore();
  });

  describe('after', () => {
    beforeEach(() => void vi.useFakeTimers());
    afterEach(() => void vi.useRealTimers());

    it('calls once, after the delay', () => {
      let calls = 0;
      systemClock.after(1_000, () => (calls += 1));
      vi.advanceTimersByTime(999);
      expect(calls).toBe(0);
      vi.advanceTimersByTime(10_000);
      expect(calls).toBe(1);
    });

    it('can be cancelled', () => {
      let calls = 0;
      const cancel = systemClock.after(1_000, () => (calls += 1));
      cancel();
      vi.advanceTimersByTime(10_000);
      expect(calls).toBe(0);
    });

    it('waits out delays longer than one timer can hold, and cancels them in their later legs', () => {
      const thirtyDaysMs = 30 * 24 * 3_600_000;
      let calls = 0;
      systemClock.after(thirtyDaysMs, () => (calls += 1));
      const cancel = systemClock.after(thirtyDaysMs, () => (calls += 1));
      vi.advanceTimersByTime(thirtyDaysMs - 1);
      expect(calls).toBe(0);
      cancel();
      vi.advanceTimersByTime(1);
      expect(calls).toBe(1);
    });
  });
});
