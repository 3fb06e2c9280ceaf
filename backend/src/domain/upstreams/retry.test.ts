import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decideRetry, RetryBudget, type AttemptFailure, type FailedAttempt } from './retry.js';

const FAILURES: readonly AttemptFailure[] = ['connect', 'unsent', 'stale', 'lost', 'timeout', 'status'];
const IDEMPOTENT = ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'];

const attempts = fc.record<FailedAttempt>({
  failure: fc.constantFrom(...FAILURES),
  answerBegun: fc.boolean(),
  method: fc.constantFrom(...IDEMPOTENT, 'POST', 'PATCH', 'LOCK'),
  hasIdempotencyKey: fc.boolean(),
  bodyKept: fc.boolean(),
  attempts: fc.integer({ min: 1, max: 5 }),
  maxAttempts: fc.integer({ min: 1, max: 5 }),
  retryUnsafe: fc.boolean(),
});

const retries = (attempt: FailedAttempt): boolean => decideRetry(attempt).action === 'retry';

describe('whether a request is sent again', () => {
  it('is never after a byte of an answer, without its body, or once too often', () => {
    fc.assert(
      fc.property(attempts, (attempt) => {
        if (attempt.answerBegun || !attempt.bodyKept || attempt.attempts >= attempt.maxAttempts) {
          expect(retries(attempt)).toBe(false);
        }
      }),
    );
  });

  it('may run nothing twice: what may have been carried out is repeated only when that does no harm', () => {
    fc.assert(
      fc.property(attempts, (attempt) => {
        const mayHaveRun = attempt.failure !== 'connect' && attempt.failure !== 'unsent';
        const harmless =
          IDEMPOTENT.includes(attempt.method) || attempt.hasIdempotencyKey || attempt.retryUnsafe;
        if (mayHaveRun && !harmless) expect(retries(attempt)).toBe(false);
      }),
    );
  });

  it('is whenever the rule allows it; only what says something about the upstream costs budget and goes elsewhere', () => {
    fc.assert(
      fc.property(attempts, (attempt) => {
        const able = {
          ...attempt,
          answerBegun: false,
          bodyKept: true,
          attempts: 1,
          maxAttempts: 3,
          method: 'GET',
        };
        const { failure } = able;
        expect(decideRetry(able)).toEqual({
          action: 'retry',
          sameUpstream: failure === 'stale' || failure === 'unsent',
          cost:
            failure === 'lost'
              ? 'credit'
              : failure === 'timeout' || failure === 'status'
                ? 'place'
                : 'nothing',
        });
      }),
    );
  });
});

describe('the retry budget', () => {
  const policy = { share: 0.2, min: 3 };
  const takeAll = (budget: RetryBudget, nowMs: number): number => {
    let taken = 0;
    while (taken < 10_000 && budget.take(policy, nowMs)) taken += 1;
    return taken;
  };

  it('is the minimum without traffic, a share of it with, and is there again after ten seconds', () => {
    const budget = new RetryBudget();
    expect(takeAll(budget, 0)).toBe(3);
    for (let i = 0; i < 1_000; i += 1) budget.request(500);
    expect(takeAll(budget, 600)).toBe(197);
    expect(takeAll(budget, 9_000)).toBe(0);
    expect(takeAll(budget, 11_000)).toBe(3);
  });

  it('gives no credit once retries on credit have failed, until that is ten seconds ago', () => {
    const budget = new RetryBudget();
    for (let failed = 0; failed < 3; failed += 1) {
      expect(budget.hasPlace(policy, 0)).toBe(true);
      budget.owe(0);
    }
    expect(budget.hasPlace(policy, 0)).toBe(false);
    // What was under way on credit when the last place went is owed all the same.
    budget.owe(1);
    expect(budget.take(policy, 1)).toBe(false);
    for (let i = 0; i < 20; i += 1) budget.request(2);
    expect(budget.hasPlace(policy, 2)).toBe(false);
    budget.request(2);
    for (let i = 0; i < 4; i += 1) budget.request(2);
    expect(budget.hasPlace(policy, 2)).toBe(true);
    expect(budget.hasPlace(policy, 11_000)).toBe(true);
  });

  it('is never passed in any ten seconds, whatever comes when', () => {
    const steps = fc.array(fc.record({ waitMs: fc.nat(4_000), requests: fc.nat(50), retries: fc.nat(30) }), {
      maxLength: 60,
    });
    fc.assert(
      fc.property(steps, (sequence) => {
        const budget = new RetryBudget();
        const requests: number[] = [];
        const granted: number[] = [];
        let nowMs = 0;
        for (const step of sequence) {
          nowMs += step.waitMs;
          for (let i = 0; i < step.requests; i += 1) {
            budget.request(nowMs);
            requests.push(nowMs);
          }
          const within = (times: readonly number[], windowMs: number): number =>
            times.filter((atMs) => nowMs - atMs < windowMs).length;
          for (let i = 0; i < step.retries && budget.take(policy, nowMs); i += 1) {
            granted.push(nowMs);
            // Counted in slices of a second: at least nine seconds of retries against at most ten of requests.
            const allowed = Math.max(policy.min, Math.floor(policy.share * within(requests, 10_001)));
            expect(within(granted, 9_000)).toBeLessThanOrEqual(allowed);
          }
        }
      }),
    );
  });
});
