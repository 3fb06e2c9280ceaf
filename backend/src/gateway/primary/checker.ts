/**
 * Active checks of every upstream, whatever its source: probes at the pace and with the state machine that the
 * supervisor uses for instances (domain/health, lib/pace). One that is announced as verified begins as fit, because
 * whoever announced it has probed it; any other proves itself first, within a few quick probes.
 */
import { isDeepStrictEqual } from 'node:util';
import { afterProbe, isUnsettled, probeDelayMs, starting } from '../../domain/health/health.js';
import type { HealthState } from '../../domain/health/health.js';
import type { HealthPolicy } from '../../domain/policy.js';
import type { PortOwner } from '../../domain/network/portOwner.js';
import { Pace } from '../../lib/pace.js';
import type { Clock, Prober } from '../../ports.js';

/** What is checked, by its id (host:port). */
export interface CheckTarget {
  readonly id: string;
  readonly host: string;
  readonly port: number;
  /** To which users its port must belong; absent: to any. */
  readonly owner?: PortOwner | undefined;
}

export interface LastCheck {
  /** Wall clock, ms. */
  readonly atMs: number;
  readonly ok: boolean;
  readonly latencyMs: number;
  /** For people; empty when it was fine. */
  readonly detail: string;
}

export interface CheckerOptions {
  readonly clock: Clock;
  readonly prober: Prober;
  readonly random: () => number;
  /** An upstream became fit or unfit. */
  readonly onChange: (id: string, fit: boolean, detail: string) => void;
  /** A check failed otherwise than the one before: `lastCheck` says how. Default: not told. */
  readonly onDetail?: () => void;
}

interface Checked {
  target: CheckTarget;
  policy: HealthPolicy;
  state: HealthState;
  last: LastCheck | null;
  /** Numbers checks in the order they were sent; an answer older than one already counted says nothing new. */
  sent: number;
  counted: number;
  pace: Pace | null;
}

export class Checker {
  readonly #options: CheckerOptions;
  readonly #checked = new Map<string, Checked>();
  constructor(options: CheckerOptions) {
    this.#options = options;
  }

  /**
   * Begins to check; one that is checked already goes on as it is, by a new policy if there is one, unless it is
   * announced as verified now.
   */
  track(target: CheckTarget, policy: HealthPolicy, verified: boolean): void {
    const known = this.#checked.get(target.id);
    if (known !== undefined) {
      known.target = target;
      if (verified && known.state.kind !== 'fit') this.#become(known, this.#fit());
      if (isDeepStrictEqual(known.policy, policy)) return;
      known.policy = policy;
      known.pace?.reschedule();
      return;
    }
    const checked: Checked = {
      target,
      policy,
      state: verified ? this.#fit() : starting(this.#options.clock.nowMs(), 'known', policy),
      last: null,
      sent: 0,
      counted: 0,
      pace: null,
    };
    this.#checked.set(target.id, checked);
    const { clock, random } = this.#options;
    checked.pace = new Pace({
      after: (delayMs, run) => clock.after(delayMs, run),
      ask: () => this.#check(checked),
      pauseMs: () => probeDelayMs(checked.state, checked.policy, clock.nowMs(), random()),
      fastMs: () => checked.policy.fastIntervalMs,
      most: () => checked.policy.fall,
    });
  }

  untrack(id: string): void {
    this.#checked.get(id)?.pace?.stop();
    this.#checked.delete(id);
  }

  isFit(id: string): boolean {
    return this.#checked.get(id)?.state.kind === 'fit';
  }

  lastCheck(id: string): LastCheck | null {
    return this.#checked.get(id)?.last ?? null;
  }

  /** Whether any upstream is still in doubt. */
  isSettled(): boolean {
    return [...this.#checked.values()].every(({ state }) => !isUnsettled(state));
  }

  close(): void {
    for (const id of this.#checked.keys()) this.untrack(id);
  }

  #fit(): HealthState {
    return { kind: 'fit', sinceMs: this.#options.clock.nowMs(), failures: 0, problem: null };
  }

  async #check(checked: Checked): Promise<void> {
    const { clock, prober } = this.#options;
    const { target, policy } = checked;
    const number = ++checked.sent;
    const result = await prober.probe(target, policy.probe, policy.timeoutMs);
    if (this.#checked.get(target.id) !== checked || number <= checked.counted) return;
    checked.counted = number;
    const { ok, latencyMs } = result;
    const detail = ok ? '' : result.detail;
    const isNews = detail !== (checked.last?.detail ?? '');
    checked.last = { atMs: clock.wallMs(), ok, latencyMs, detail };
    const verdict = ok
      ? ({ ok: true } as const)
      : ({ ok: false, timedOut: result.kind === 'timeout', answered: false, detail } as const);
    this.#become(checked, afterProbe(checked.state, verdict, policy, clock.nowMs()));
    if (isNews) this.#options.onDetail?.();
  }

  #become(checked: Checked, state: HealthState): void {
    const before = checked.state;
    checked.state = state;
    if (before.kind === state.kind || (before.kind !== 'fit' && state.kind !== 'fit')) return;
    const detail = state.kind === 'unfit' ? state.detail : '';
    this.#options.onChange(checked.target.id, state.kind === 'fit', detail);
  }
}
