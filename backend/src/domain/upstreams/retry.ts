/**
 * When a request may be sent again after an attempt failed. Retrying too eagerly runs a payment twice; not retrying
 * loses requests whenever an instance goes. The rule, in this order:
 *
 *   1. Never after a byte of an answer reached the client.
 *   2. Connect failed: any method, elsewhere.
 *   3. No byte of the request was written: any method.
 *   4. A reused connection was closed before any byte of an answer: the upstream closed an idle connection at the
 *      moment we wrote. Idempotent methods with an empty or fully kept body; does not count against the upstream.
 *   5. Else idempotent only (RFC 9110 section 9.2.2), within the budget. POST and PATCH only with Idempotency-Key or
 *      when the pool says so. A request that was lost is sent on credit: it costs the budget only if that fails, too.
 *   6. When nothing is left, the client gets what really happened.
 */

export type AttemptFailure =
  /** No connection came about. */
  | 'connect'
  /** The connection was lost before anything was written on it. */
  | 'unsent'
  /** A connection that had served before ended before any byte of an answer. */
  | 'stale'
  /** A connection ended, or what came was not HTTP, before a complete head of an answer. */
  | 'lost'
  /** No answer in time. */
  | 'timeout'
  /** It answered 502 or 503: it says that it can't serve. */
  | 'status';

export interface FailedAttempt {
  readonly failure: AttemptFailure;
  /** A byte of an answer (also of a 1xx) has been written to the client. */
  readonly answerBegun: boolean;
  readonly method: string;
  readonly hasIdempotencyKey: boolean;
  /** Whether all of the body that was read so far can be sent again; true when there is none. */
  readonly bodyKept: boolean;
  /** Of this request so far, this one included. */
  readonly attempts: number;
  readonly maxAttempts: number;
  /** The pool treats POST and PATCH like idempotent methods. */
  readonly retryUnsafe: boolean;
}

/**
 * What a retry costs of the budget. `place`: one, now; without a free one it is given up. `credit`: one if it fails,
 * provided that there is a free one and that it goes to nobody who fails; else it is `place`.
 */
export type RetryCost = 'nothing' | 'credit' | 'place';

export type RetryDecision =
  | {
      readonly action: 'retry';
      /** The same upstream may be tried again: it was not its fault. */
      readonly sameUpstream: boolean;
      readonly cost: RetryCost;
    }
  | { readonly action: 'give-up'; readonly reason: string };

const IDEMPOTENT: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'PUT',
  'DELETE',
  'TRACE',
  'PROPFIND',
  'REPORT',
  'SEARCH',
  'QUERY',
]);

/** Whether doing it twice is doing it once. */
export function isIdempotent(
  attempt: Pick<FailedAttempt, 'method' | 'hasIdempotencyKey' | 'retryUnsafe'>,
): boolean {
  return attempt.retryUnsafe || attempt.hasIdempotencyKey || IDEMPOTENT.has(attempt.method);
}

/** What to do after a failed attempt. */
export function decideRetry(attempt: FailedAttempt): RetryDecision {
  if (attempt.answerBegun) return giveUp('a part of an answer has reached the client');
  if (attempt.attempts >= attempt.maxAttempts) return giveUp(`it was tried ${attempt.attempts} times`);
  if (!attempt.bodyKept) return giveUp('its body could not be kept to be sent again');
  switch (attempt.failure) {
    case 'connect':
      return { action: 'retry', sameUpstream: false, cost: 'nothing' };
    case 'unsent':
      return { action: 'retry', sameUpstream: true, cost: 'nothing' };
    case 'stale':
      if (!isIdempotent(attempt)) return giveUp(`${attempt.method} may have been carried out already`);
      return { action: 'retry', sameUpstream: true, cost: 'nothing' };
    default:
      if (!isIdempotent(attempt)) return giveUp(`${attempt.method} may have been carried out already`);
      return {
        action: 'retry',
        sameUpstream: false,
        cost: attempt.failure === 'lost' ? 'credit' : 'place',
      };
  }
}

/** Whether a failure says something about the upstream's health. */
export function countsAgainstUpstream(failure: AttemptFailure): boolean {
  return failure !== 'stale' && failure !== 'unsent';
}

function giveUp(reason: string): RetryDecision {
  return { action: 'give-up', reason };
}

export interface RetryBudgetPolicy {
  /** Retries on top of the traffic of the last ten seconds, share 0–1. */
  readonly share: number;
  /** How many are always allowed within them. */
  readonly min: number;
}

const SLICE_MS = 1_000;
const SLICES = 10;

/**
 * Bounds retries to a share of the traffic of the last ten seconds, so that a service that fails is not buried under
 * repetitions. Counts in ten slices of a second.
 *
 * What instances that die take along is no such burden: all that they had under way is lost at one moment, at low
 * traffic more than any share of it, and those that live answer it at the first try. So a retry of a lost request may
 * be on credit: nothing as long as it is answered, a place once it failed. A service whose every instance fails spends
 * its budget as fast as ever, and without a free place there is no credit.
 */
export class RetryBudget {
  readonly #requests: number[] = Array.from({ length: SLICES }, () => 0);
  readonly #retries: number[] = Array.from({ length: SLICES }, () => 0);
  #slice = 0;
  #sliceEndsMs = Number.NEGATIVE_INFINITY;

  /** Counts one request (not its retries). `nowMs` is monotonic. */
  request(nowMs: number): void {
    if (nowMs >= this.#sliceEndsMs) this.#advance(nowMs);
    this.#requests[this.#slice] = (this.#requests[this.#slice] ?? 0) + 1;
  }

  /** Takes a place for one retry. @returns false when there is none. */
  take(policy: RetryBudgetPolicy, nowMs: number): boolean {
    if (!this.hasPlace(policy, nowMs)) return false;
    this.owe(nowMs);
    return true;
  }

  /** Whether there is a place for one more retry. */
  hasPlace(policy: RetryBudgetPolicy, nowMs: number): boolean {
    if (nowMs >= this.#sliceEndsMs) this.#advance(nowMs);
    const allowed = Math.max(policy.min, Math.floor(policy.share * total(this.#requests)));
    return total(this.#retries) < allowed;
  }

  /** A retry on credit failed: takes its place, free or not. */
  owe(nowMs: number): void {
    if (nowMs >= this.#sliceEndsMs) this.#advance(nowMs);
    this.#retries[this.#slice] = (this.#retries[this.#slice] ?? 0) + 1;
  }

  #advance(nowMs: number): void {
    const behind = nowMs - this.#sliceEndsMs;
    const steps = behind >= SLICES * SLICE_MS ? SLICES : Math.floor(behind / SLICE_MS) + 1;
    for (let step = 0; step < steps; step += 1) {
      this.#slice = (this.#slice + 1) % SLICES;
      this.#requests[this.#slice] = 0;
      this.#retries[this.#slice] = 0;
    }
    this.#sliceEndsMs = steps === SLICES ? nowMs + SLICE_MS : this.#sliceEndsMs + steps * SLICE_MS;
  }
}

function total(counts: readonly number[]): number {
  let sum = 0;
  for (const count of counts) sum += count;
  return sum;
}
