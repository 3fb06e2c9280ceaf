/**
 * Probes every tracked instance on its own port and keeps its health state (domain/health). One timer an instance.
 *
 * A probe that is late is itself a doubt: the next ones are sent beside it (lib/pace), so that an instance that accepts
 * and never answers is out after `timeout + (fall − 1) × fast interval` and not after `fall × timeout`.
 *
 * It is asked at 127.0.0.1. Where that is refused and it listens on another address (`localhost` may be ::1), it is asked
 * there from then on, and clients are sent there.
 */
import {
  afterProbe,
  afterTime,
  condemned,
  isUnsettled,
  mayServe,
  probeDelayMs,
  released,
  starting,
} from '../../domain/health/health.js';
import type { HealthState, Origin } from '../../domain/health/health.js';
import { instanceKey } from '../../domain/model.js';
import type { FailureCause, ManagedProcess } from '../../domain/model.js';
import type { HealthPolicy } from '../../domain/policy.js';
import { sameOwner, type PortOwner } from '../../domain/network/portOwner.js';
import type { Percentiles } from '../../domain/views/controlPlane.js';
import { Pace } from '../../lib/pace.js';
import { RingBuffer } from '../../lib/ringBuffer.js';
import type { Clock, FactFinder, ProbeResult, Prober } from '../../ports.js';

export interface LastProbe {
  readonly atWallMs: number;
  readonly ok: boolean;
  readonly latencyMs: number;
  readonly detail: string;
}

export interface HealthMonitorOptions {
  readonly clock: Clock;
  readonly prober: Prober;
  readonly random: () => number;
  /** Where an instance listens that refuses connections at 127.0.0.1; null: not known. Never rejects. */
  readonly locate: (instance: ManagedProcess) => Promise<string | null>;
  /** To which users its port must belong; null: not known. */
  readonly owners: Pick<FactFinder, 'ownerOf' | 'ownersOf'>;
  /**
   * While PM2's daemon does not answer, a failing probe says nothing about an instance in cluster mode, whose
   * connections the daemon accepts: it is shown but not counted.
   */
  readonly daemonAnswers: () => boolean;
  /** Whether a probe of that instance that is late has only waited its turn (overload.ts): shown, not counted. */
  readonly isOverloaded: (instance: ManagedProcess) => boolean;
  /** Called after an instance's state changed its kind, or whether traffic may go there. */
  readonly onChange: (instance: ManagedProcess, before: HealthState, after: HealthState) => void;
}

interface Tracked {
  readonly instance: ManagedProcess;
  policy: HealthPolicy;
  readonly results: RingBuffer<{ ok: boolean; latencyMs: number }>;
  state: HealthState;
  lastProbe: LastProbe | null;
  /** Where it listens. */
  host: string;
  /** Monotonic, ms. */
  locatedAtMs: number;
  /** To which users its port must belong; null: not known. */
  owner: PortOwner | null;
  /** Numbers probes in the order they were sent; an answer older than one already counted says nothing new. */
  sent: number;
  counted: number;
  pace: Pace | null;
}

/** Where instances are looked for first. */
export const INSTANCE_HOST = '127.0.0.1';
/** Between two searches for where one listens that refuses connections there. */
const LOCATE_PAUSE_MS = 500;
const RESULTS_KEPT = 100;

export class HealthMonitor {
  readonly #options: HealthMonitorOptions;
  readonly #tracked = new Map<string, Tracked>();

  constructor(options: HealthMonitorOptions) {
    this.#options = options;
  }

  /**
   * Begins to probe. Idempotent; for one that is tracked already only a new policy counts, from now on.
   * @param origin what is known of it before its first probe.
   * @param adopted whether it ran when this supervisor first looked.
   */
  track(instance: ManagedProcess, policy: HealthPolicy, origin: Origin, adopted = false): void {
    const key = instanceKey(instance);
    const known = this.#tracked.get(key);
    if (known !== undefined) {
      if (known.policy === policy) return;
      known.policy = policy;
      // A changed probe is the remedy for what is unverified: it need not wait its turn.
      if (known.state.kind === 'unverified') known.pace?.hurry();
      else known.pace?.reschedule();
      return;
    }
    const { clock, owners } = this.#options;
    const ageMs = clock.wallMs() - instance.startedAtMs;
    const tracked: Tracked = {
      instance,
      policy,
      results: new RingBuffer(RESULTS_KEPT),
      state: starting(clock.nowMs(), origin, policy, ageMs, adopted),
      lastProbe: null,
      host: INSTANCE_HOST,
      locatedAtMs: Number.NEGATIVE_INFINITY,
      owner: owners.ownerOf(instance),
      sent: 0,
      counted: 0,
      pace: null,
    };
    this.#tracked.set(key, tracked);
    tracked.pace = this.#paceOf(tracked);
  }

  untrack(key: string): void {
    this.#tracked.get(key)?.pace?.stop();
    this.#tracked.delete(key);
  }

  /** Forgets all others. */
  retain(keys: ReadonlySet<string>): void {
    for (const key of this.#tracked.keys()) if (!keys.has(key)) this.untrack(key);
  }

  state(key: string): HealthState | null {
    return this.#tracked.get(key)?.state ?? null;
  }

  lastProbe(key: string): LastProbe | null {
    return this.#tracked.get(key)?.lastProbe ?? null;
  }

  /** The address at which it is asked, and at which clients reach it. */
  hostOf(key: string): string {
    return this.#tracked.get(key)?.host ?? INSTANCE_HOST;
  }

  /** To which users its port must belong; null: not known. */
  ownerOf(key: string): PortOwner | null {
    return this.#tracked.get(key)?.owner ?? null;
  }

  /** Latency percentiles of passed probes and share of failed ones, over the last 100. */
  figures(key: string): { responseTimeMs: Percentiles | null; errorRate: number | null } {
    const results = this.#tracked.get(key)?.results.toArray() ?? [];
    if (results.length === 0) return { responseTimeMs: null, errorRate: null };
    const failed = results.filter(({ ok }) => !ok).length;
    const latencies = results.filter(({ ok }) => ok).map(({ latencyMs }) => latencyMs);
    return { responseTimeMs: percentilesOf(latencies), errorRate: failed / results.length };
  }

  /**
   * Probes all now and resolves with the results. They show in the figures but judge nobody: however often somebody
   * asks during one bad moment, it is one moment.
   */
  async probeAll(): Promise<readonly { instance: ManagedProcess; result: ProbeResult }[]> {
    return Promise.all(
      [...this.#tracked.values()].map(async (tracked) => {
        const result = await this.#ask(tracked);
        if (this.#isLive(tracked)) this.#note(tracked, result);
        return { instance: tracked.instance, result };
      }),
    );
  }

  /**
   * Unfit at once, because an agent knows better than a probe. False when that changes nothing: unknown, unfit already,
   * or not yet fit for the first time.
   * @param held whether its probes pass all the same: then only `release` lets them bring it back.
   */
  condemn(
    key: string,
    judgement: { readonly cause: FailureCause; readonly detail: string; readonly held: boolean },
  ): boolean {
    const tracked = this.#tracked.get(key);
    if (tracked === undefined) return false;
    const before = tracked.state;
    const after = condemned(before, judgement, this.#options.clock.nowMs());
    if (after === null) return false;
    tracked.state = after;
    // What was asked before says nothing about now.
    tracked.counted = tracked.sent;
    tracked.pace?.reschedule();
    this.#options.onChange(tracked.instance, before, after);
    return true;
  }

  /** What was condemned and held is for the probes to judge again. */
  release(key: string): void {
    const tracked = this.#tracked.get(key);
    if (tracked === undefined) return;
    const before = tracked.state;
    this.#become(tracked, before, released(before, this.#options.clock.nowMs()));
  }

  /** One more probe, now, that counts like the others. */
  probeNow(key: string): void {
    const tracked = this.#tracked.get(key);
    if (tracked !== undefined) void this.#probe(tracked);
  }

  close(): void {
    this.retain(new Set());
  }

  #paceOf(tracked: Tracked): Pace {
    const { clock, random } = this.#options;
    return new Pace({
      after: (delayMs, run) => clock.after(delayMs, run),
      ask: async () => void (await this.#probe(tracked)),
      pauseMs: () => probeDelayMs(tracked.state, tracked.policy, clock.nowMs(), random()),
      fastMs: () => tracked.policy.fastIntervalMs,
      most: () => tracked.policy.fall,
    });
  }

  async #probe(tracked: Tracked): Promise<void> {
    const number = ++tracked.sent;
    const result = await this.#ask(tracked);
    if (!this.#isLive(tracked) || number <= tracked.counted) return;
    tracked.counted = number;
    this.#note(tracked, result);
    this.#judge(tracked, result);
  }

  async #ask(tracked: Tracked): Promise<ProbeResult> {
    const { instance, host, owner } = tracked;
    // A service that listens on no port is as healthy as PM2's "online" says.
    if (instance.port === null) return { ok: true, latencyMs: 0 };
    const result = await this.#askAt(tracked, instance.port);
    if (result.ok || (result.kind !== 'refused' && result.kind !== 'stranger')) return result;
    if (result.kind === 'refused') await this.#locate(tracked);
    else await this.#findOwners(tracked);
    return tracked.host === host && tracked.owner === owner ? result : this.#askAt(tracked, instance.port);
  }

  #askAt({ host, owner, policy }: Tracked, port: number): Promise<ProbeResult> {
    const target = owner === null ? { host, port } : { host, port, owner };
    return this.#options.prober.probe(target, policy.probe, policy.timeoutMs);
  }

  async #findOwners(tracked: Tracked): Promise<void> {
    const owner = await this.#options.owners.ownersOf(tracked.instance);
    if (!sameOwner(owner ?? undefined, tracked.owner ?? undefined)) tracked.owner = owner;
  }

  async #locate(tracked: Tracked): Promise<void> {
    const { clock, locate } = this.#options;
    if (clock.nowMs() - tracked.locatedAtMs < LOCATE_PAUSE_MS) return;
    tracked.locatedAtMs = clock.nowMs();
    tracked.host = (await locate(tracked.instance)) ?? INSTANCE_HOST;
  }

  #note(tracked: Tracked, result: ProbeResult): void {
    const { ok, latencyMs } = result;
    // Refusals before the first pass are how starting looks, not errors.
    if (ok || tracked.state.kind !== 'starting') tracked.results.push({ ok, latencyMs });
    const detail = result.ok ? 'ok' : result.detail;
    tracked.lastProbe = { atWallMs: this.#options.clock.wallMs(), ok, latencyMs, detail };
  }

  #judge(tracked: Tracked, result: ProbeResult): void {
    const { clock, daemonAnswers, isOverloaded } = this.#options;
    const { instance } = tracked;
    if (!result.ok && instance.mode === 'cluster' && !daemonAnswers()) return;
    if (!result.ok && result.kind === 'timeout' && isOverloaded(instance)) return;
    const before = tracked.state;
    const verdict = result.ok
      ? ({ ok: true } as const)
      : ({
          ok: false,
          timedOut: result.kind === 'timeout',
          answered: result.kind !== 'timeout' && result.kind !== 'refused',
          detail: result.detail,
        } as const);
    const now = clock.nowMs();
    this.#become(
      tracked,
      before,
      afterTime(afterProbe(before, verdict, tracked.policy, now), tracked.policy, now),
    );
  }

  #become(tracked: Tracked, before: HealthState, after: HealthState): void {
    tracked.state = after;
    if (before.kind === after.kind && mayServe(before) === mayServe(after)) return;
    this.#options.onChange(tracked.instance, before, after);
  }

  #isLive(tracked: Tracked): boolean {
    return this.#tracked.get(instanceKey(tracked.instance)) === tracked;
  }

  /** Whether any instance of the service is in doubt or starting: the loop then looks more often. */
  isUnsettled(service: string): boolean {
    for (const { instance, state } of this.#tracked.values()) {
      if (instance.service === service && isUnsettled(state)) return true;
    }
    return false;
  }
}

export function percentilesOf(values: readonly number[]): Percentiles | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}
