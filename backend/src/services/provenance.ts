/**
 * Where instances come from, as far as it decides what their probes mean: whether Holdfast started them, and whether one
 * in their place has ever passed. A place is a number of PM2; whatever PM2 restarts stays in its place. Outlives the
 * supervisor, so that its successor neither takes for unverified what it has seen pass, nor for unfit what never did.
 */
import type { Origin } from '../domain/health.js';
import { instanceKey } from '../domain/model.js';
import type { InstanceId } from '../domain/model.js';

export interface ProvenanceSnapshot {
  /** Places that Holdfast filled, or in which one has passed. */
  readonly proven: number[];
  /** Places in which one runs that never passed, as far as it has been found out. */
  readonly unverified: number[];
  /** Keys of processes that have passed. */
  readonly ready: string[];
}

export const NOTHING_KNOWN: ProvenanceSnapshot = { proven: [], unverified: [], ready: [] };

export class Provenance {
  readonly #proven = new Set<number>();
  readonly #unverified = new Set<number>();
  readonly #ready = new Set<string>();

  /** What a process that is seen for the first time is taken for. */
  originOf(id: InstanceId, ageMs: number, startTimeoutMs: number): Origin {
    if (this.#ready.has(instanceKey(id))) return 'known';
    if (this.#proven.has(id.pmId)) return 'started';
    return this.#unverified.has(id.pmId) || ageMs >= startTimeoutMs ? 'found' : 'launched';
  }

  started({ pmId }: InstanceId): void {
    this.#proven.add(pmId);
    this.#unverified.delete(pmId);
  }

  passed(id: InstanceId): void {
    this.started(id);
    this.#ready.add(instanceKey(id));
  }

  neverPassed({ pmId }: InstanceId): void {
    if (!this.#proven.has(pmId)) this.#unverified.add(pmId);
  }

  /** Forgets what PM2 does not list any more. */
  retain(listed: readonly InstanceId[]): void {
    const numbers = new Set(listed.map(({ pmId }) => pmId));
    const keys = new Set(listed.map(instanceKey));
    for (const places of [this.#proven, this.#unverified]) {
      for (const pmId of places) if (!numbers.has(pmId)) places.delete(pmId);
    }
    for (const key of this.#ready) if (!keys.has(key)) this.#ready.delete(key);
  }

  /** PM2's daemon is a new one: its numbers mean other places. */
  forget(): void {
    for (const all of [this.#proven, this.#unverified, this.#ready]) all.clear();
  }

  snapshot(): ProvenanceSnapshot {
    return { proven: [...this.#proven], unverified: [...this.#unverified], ready: [...this.#ready] };
  }

  restore({ proven, unverified, ready }: ProvenanceSnapshot): void {
    for (const pmId of proven) this.#proven.add(pmId);
    for (const pmId of unverified) this.#unverified.add(pmId);
    for (const key of ready) this.#ready.add(key);
  }
}
