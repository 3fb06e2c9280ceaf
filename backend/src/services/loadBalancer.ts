/**
 * How many instances each service should have. Owner of what the rule in domain/scaling needs to be pure: the
 * recent samples, the last moves and the decisions taken, per service. It applies nothing: whoever reconciles
 * calls `observe`, then `decide`, makes `decision.to` the desired count, and says so with `noteMove`.
 *
 *   observe(policy, instances)  → one sample into the window
 *   decide(policy, facts)       → the rule's answer, kept in the history when it is news
 *   noteMove(service, …)        → cooldown and reversal memory, for operators' moves too
 *
 * There is no timer here; time is an argument. Only the memory of moves survives a restart (`snapshot`,
 * `restore`): samples older than the restart say nothing about now, so windows fill again.
 */
import type { ServicePolicy } from '../domain/policy.js';
import { decide, type Decision, type ScalingInput } from '../domain/scaling/scaling.js';
import {
  NO_MEMORY,
  remember,
  restoreMemory,
  saveMemory,
  MAX_WINDOW_FACTOR,
  type ScalingMemory,
} from '../domain/scaling/memory.js';
import { sampleOf, type InstanceLoad, type LoadSample } from '../domain/scaling/window.js';
import type { DecisionView, LoadBalancerView } from '../domain/views/controlPlane.js';

/** One moment on both clocks. */
export interface Moment {
  /** Monotonic. */
  readonly nowMs: number;
  /** Since the epoch. */
  readonly wallMs: number;
}

/** What `decide` is told beside the samples. */
export type ScalingFacts = Pick<ScalingInput, 'desired' | 'host' | 'blocked'>;

const MAX_DECISIONS = 50;
/** A load that wavers around a threshold changes its reason every tick: so many places are kept for moves. */
const PLACES_FOR_MOVES = 25;
/** Per service. With a window too long for one sample a second, samples are taken further apart. */
const MAX_SAMPLES = 2048;
/** Memory of services that may come back after a restart. */
const MAX_REMEMBERED = 1000;

interface Entry {
  samples: LoadSample[];
  memory: ScalingMemory;
  last: Decision | null;
  lastView: DecisionView | null;
  /** Newest last. */
  decisions: DecisionView[];
}

export class LoadBalancer {
  readonly #entries = new Map<string, Entry>();
  /** Restored, until the service is first seen. */
  readonly #restored = new Map<string, ScalingMemory>();

  /** Takes a sample of a service: ready are the instances that serve. Call it once per tick. */
  observe(policy: ServicePolicy, instances: readonly InstanceLoad[], nowMs: number): void {
    const entry = this.#entryOf(policy.name);
    const { samples } = entry;
    const keepMs = Math.max(policy.scaling.upWindowMs, policy.scaling.downWindowMs * MAX_WINDOW_FACTOR);
    const latest = samples.at(-1);
    // A clock that went backwards would break the order that windows rely on: begin anew.
    if (latest !== undefined && nowMs < latest.atMs) samples.length = 0;
    // The newest is always there; the one before goes when it is closer than the window's resolution.
    const before = samples.at(-2);
    if (latest !== undefined && before !== undefined && latest.atMs - before.atMs < keepMs / MAX_SAMPLES) {
      samples.pop();
    }
    samples.push(sampleOf(instances, policy.memoryLimitBytes, nowMs));
    // One sample older than the window is kept: it is what covers the window's far end.
    const first = samples.findIndex((sample) => sample.atMs > nowMs - keepMs) - 1;
    samples.splice(0, Math.max(0, first, samples.length - MAX_SAMPLES));
  }

  /** The answer for this tick, "hold" included. Changes nothing but the history of decisions. */
  decide(policy: ServicePolicy, facts: ScalingFacts, at: Moment): Decision {
    const entry = this.#entryOf(policy.name);
    const input = { ...facts, nowMs: at.nowMs, samples: entry.samples };
    const decision = decide(input, policy.scaling, entry.memory);
    this.#trackMemoryBlock(entry, decision, at.nowMs);
    const view = viewOf(decision, at.wallMs);
    if (decision.action !== 'hold' || !sameKind(decision, entry.last)) {
      entry.decisions.push(view);
      if (entry.decisions.length > MAX_DECISIONS) dropOne(entry.decisions);
    }
    entry.last = decision;
    entry.lastView = view;
    return decision;
  }

  /**
   * The desired count was changed. Starts the cooldown of automatic moves, also when an operator did it: an
   * operator's move is not undone at once.
   */
  noteMove(service: string, from: number, to: number, nowMs: number, by: 'autoscaler' | 'operator'): void {
    if (from === to) return;
    const entry = this.#entryOf(service);
    entry.memory = remember(entry.memory, { atMs: nowMs, direction: to > from ? 'up' : 'down', by });
  }

  /** Time until the next automatic move may happen; 0 when it may happen now. */
  cooldownLeftMs(policy: ServicePolicy, nowMs: number): number {
    const last = this.#entries.get(policy.name)?.memory.lastMove;
    return last === undefined || last === null
      ? 0
      : Math.max(0, Math.round(policy.scaling.cooldownMs - (nowMs - last.atMs)));
  }

  /** A service's part of the API's view. `current` is what serves, `desired` what is wanted. */
  view(
    policy: ServicePolicy,
    counts: { readonly current: number; readonly desired: number },
    nowMs: number,
  ): LoadBalancerView['services'][number] {
    const entry = this.#entries.get(policy.name);
    return {
      name: policy.name,
      current: counts.current,
      desired: counts.desired,
      min: policy.scaling.minInstances,
      max: policy.scaling.maxInstances,
      autoscale: policy.scaling.autoscale,
      cooldownLeftMs: this.cooldownLeftMs(policy, nowMs),
      last: entry?.lastView ?? null,
      decisions: entry === undefined ? [] : [...entry.decisions],
    };
  }

  /** Samples held in memory, over all services. */
  get samplesKept(): number {
    return [...this.#entries.values()].reduce((sum, { samples }) => sum + samples.length, 0);
  }

  /** Drops everything known about a service that is no longer supervised. */
  forget(service: string): void {
    this.#entries.delete(service);
    this.#restored.delete(service);
  }

  /** What must survive a restart, as JSON: the memory of moves, on the wall clock. */
  snapshot(at: Moment): { readonly services: Record<string, ScalingMemory> } {
    const services: Record<string, ScalingMemory> = {};
    for (const [name, memory] of this.#restored) services[name] = saveMemory(memory, at.wallMs - at.nowMs);
    for (const [name, entry] of this.#entries) {
      services[name] = saveMemory(entry.memory, at.wallMs - at.nowMs);
    }
    return { services };
  }

  /**
   * Takes over a snapshot. Whatever in it is damaged is left out; a time in the future (the wall clock was set
   * back meanwhile) counts as now, so a cooldown is never longer than configured.
   */
  restore(state: unknown, at: Moment): void {
    const services = recordOf(recordOf(state)?.['services']);
    if (services === null) return;
    for (const [name, saved] of Object.entries(services).slice(0, MAX_REMEMBERED)) {
      const memory = restoreMemory(saved, at.wallMs - at.nowMs, at.nowMs);
      if (memory === null) continue;
      const entry = this.#entries.get(name);
      if (entry === undefined) this.#restored.set(name, memory);
      else entry.memory = memory;
    }
  }

  #entryOf(service: string): Entry {
    let entry = this.#entries.get(service);
    if (entry === undefined) {
      const memory = this.#restored.get(service) ?? NO_MEMORY;
      this.#restored.delete(service);
      entry = { samples: [], memory, last: null, lastView: null, decisions: [] };
      this.#entries.set(service, entry);
    }
    return entry;
  }

  /** Remembers since when nothing but memory keeps the service from shrinking. */
  #trackMemoryBlock(entry: Entry, decision: Decision, nowMs: number): void {
    const since = decision.limitedBy === 'memory' ? (entry.memory.memoryBlockedSinceMs ?? nowMs) : null;
    // A wish to shrink that only waits for a cooldown keeps the patience already used up.
    if (since === null && decision.cause === 'load-low' && decision.limitedBy !== 'window') return;
    if (since !== entry.memory.memoryBlockedSinceMs) {
      entry.memory = { ...entry.memory, memoryBlockedSinceMs: since };
    }
  }
}

/** Two holds for the same cause with the same limit are one piece of news. */
function sameKind(decision: Decision, last: Decision | null): boolean {
  return (
    last !== null &&
    decision.action === last.action &&
    decision.cause === last.cause &&
    decision.limitedBy === last.limitedBy
  );
}

/** Drops the oldest hold, or the oldest of all when moves have taken more than their places. */
function dropOne(decisions: DecisionView[]): void {
  const holds = decisions.filter((decision) => decision.action === 'hold').length;
  const oldestHold = decisions.findIndex((decision) => decision.action === 'hold');
  decisions.splice(holds > MAX_DECISIONS - PLACES_FOR_MOVES ? oldestHold : 0, 1);
}

function viewOf(decision: Decision, wallMs: number): DecisionView {
  const { action, from, to, reason, limitedBy, inputs } = decision;
  return { at: new Date(wallMs).toISOString(), action, from, to, reason, limitedBy, inputs };
}

function recordOf(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null;
}
