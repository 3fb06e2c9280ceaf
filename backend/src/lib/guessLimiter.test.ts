import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GuessLimiter } from './guessLimiter.js';

const limits = { burst: 3, refillMs: 1_000, addresses: 4 };

describe('GuessLimiter', () => {
  it('blocks after a burst of different guesses, and lets one more in per refill', () => {
    const limiter = new GuessLimiter(limits);
    for (const guess of ['a', 'b', 'c']) {
      expect(limiter.waitSeconds('10.0.0.1', 0)).toBe(0);
      expect(limiter.charge('10.0.0.1', guess, 0)).toBe(true);
    }
    expect(limiter.waitSeconds('10.0.0.1', 0)).toBe(1);
    expect(limiter.waitSeconds('10.0.0.2', 0)).toBe(0);
    expect(limiter.waitSeconds('10.0.0.1', 1_000)).toBe(0);
    limiter.charge('10.0.0.1', 'd', 1_000);
    expect(limiter.waitSeconds('10.0.0.1', 1_000)).toBe(1);
  });

  it('does not charge the same guess twice: an outdated client locks nobody out', () => {
    const limiter = new GuessLimiter(limits);
    expect(limiter.charge('10.0.0.1', 'old token', 0)).toBe(true);
    for (let nowMs = 1; nowMs < 100; nowMs += 1) {
      expect(limiter.charge('10.0.0.1', 'old token', nowMs)).toBe(false);
    }
    expect(limiter.waitSeconds('10.0.0.1', 100)).toBe(0);
  });

  it('counts an IPv6 /64 as one address', () => {
    const limiter = new GuessLimiter(limits);
    const addresses = ['2001:db8:1:2::1', '2001:db8:1:2:ffff::9', '2001:db8:1:2:1:2:3:4'];
    addresses.forEach((address, index) => limiter.charge(address, String(index), 0));
    expect(limiter.waitSeconds('2001:db8:1:2::77', 0)).toBe(1);
    expect(limiter.waitSeconds('2001:db8:1:3::1', 0)).toBe(0);
  });

  it('never lets more guesses through than burst plus refill, and remembers boundedly many addresses', () => {
    const step = fc.record({ waitMs: fc.nat(3_000), address: fc.nat(9).map((n) => `10.0.0.${n}`) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const limiter = new GuessLimiter({ ...limits, addresses: 20 });
        const passed = new Map<string, number>();
        let nowMs = 0;
        steps.forEach(({ waitMs, address }, index) => {
          nowMs += waitMs;
          if (limiter.waitSeconds(address, nowMs) > 0) return;
          limiter.charge(address, `guess ${index}`, nowMs);
          passed.set(address, (passed.get(address) ?? 0) + 1);
        });
        for (const count of passed.values()) expect(count).toBeLessThanOrEqual(3 + nowMs / 1_000);
        expect(limiter.size).toBeLessThanOrEqual(20);
      }),
    );
    const small = new GuessLimiter(limits);
    for (let n = 0; n < 100; n += 1) small.charge(`10.0.1.${n}`, 'x', 0);
    expect(small.size).toBe(4);
  });
});
