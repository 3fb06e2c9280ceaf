/**
 * What the retries of one request cost of its pool's budget (domain/upstreams/retry.ts).
 *
 *   pay ──place──▶ taken ──▶ the next attempt begins ──▶ pay …
 *    │                            ▲
 *    └────credit──▶ open ─────────┘── that attempt is answered: nothing; it fails: a place is owed
 */
import type { RetryCost } from '../../domain/upstreams/retry.js';
import type { Clock } from '../../ports.js';
import type { Pool } from './pool.js';
import type { Upstream } from './upstream.js';

export class RetryTab {
  readonly #pool: Pool;
  readonly #clock: Clock;
  /** A place was taken for the next attempt. */
  #charged = false;
  /** The attempt under way takes its place only if it fails. */
  #onCredit = false;

  constructor(pool: Pool, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
  }

  /**
   * Pays for the next attempt, at most once.
   * @param tried upstreams that it will not go to.
   * @returns false when there is neither place nor credit.
   */
  pay(cost: RetryCost, tried: readonly Upstream[]): boolean {
    if (cost === 'nothing') return true;
    const { budget, snapshot } = this.#pool;
    const nowMs = this.#clock.nowMs();
    // Nobody left to ask: it is held for whoever comes up, and burdens nobody until then.
    if (cost === 'credit' && (this.#pool.hasWell(tried) || !this.#pool.hasFit(tried))) {
      this.#onCredit = budget.hasPlace(snapshot.retryBudget, nowMs);
      return this.#onCredit;
    }
    this.#charged ||= budget.take(snapshot.retryBudget, nowMs);
    return this.#charged;
  }

  /** The next attempt begins: what was paid is used up. */
  begin(): void {
    this.#charged = false;
  }

  /** The attempt under way failed at the upstream: what is on credit is owed. Idempotent. */
  fail(): void {
    if (this.#onCredit) this.#pool.budget.owe(this.#clock.nowMs());
    this.#onCredit = false;
  }
}
