import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { withTimeout } from './deadline.js';

describe('withTimeout', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('passes the result on and leaves no timer behind', async () => {
    await expect(withTimeout(Promise.resolve(3), 1_000, () => new Error('late'))).resolves.toBe(3);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('passes a rejection on and leaves no timer behind', async () => {
    const work = Promise.reject(new Error('broken'));
    await expect(withTimeout(work, 1_000, () => new Error('late'))).rejects.toThrow('broken');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('rejects at the deadline and ignores what comes after it', async () => {
    let fail: (error: Error) => void = () => undefined;
    const work = new Promise<never>((_resolve, reject) => {
      fail = reject;
    });
    const outcome = expect(withTimeout(work, 1_000, () => new Error('late'))).rejects.toThrow('late');
    await vi.advanceTimersByTimeAsync(1_000);
    await outcome;
    fail(new Error('afterwards')); // an unhandled rejection would fail the run
    await vi.advanceTimersByTimeAsync(1);
  });
});
