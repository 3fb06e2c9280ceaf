/**
 * Where instances come from, as far as it decides what their probes mean: whether Holdfast started them, and whether one
 * in their place has ever passed. A place is a number of PM2; whatever PM2 restarts stays in its place. Outlives the
 * supervisor, so that its successor neither takes for unverified what it has seen pass, nor for unfit what never did.
 */
import type { Origin } from '../../domain/health/health.js';
import { instanceKey, pmIdOf } from '../../domain/model.js';
import type { InstanceId } from '../../domain/model.js';

export interface ProvenanceSnapshot {
  /** Places that Holdfast filled, or in which one has passed. */
  readonly proven: number[];
  /** Places in which one runs that never passed, as far as it has been found out. */
  readonly unverified: number[];
  /** Keys of processes that have passed. */
  readonly ready: string[];
  /** Keys of processes that were charged for a failure and have not passed since. */
  readonly charged: string[];
}

export const NOTHING_KNOWN: ProvenanceSnapshot = { proven: [], unverified: [], ready: [], charged: [] };

export class Provenance {
  readonly #proven = new Set<number>();
  readonly #unverified = new Set<number>();
  readonly #ready = new Set<string>();
  /** By number. The key outlives its process: of an end that PM2 did not tell, it is known only afterwards. */
  readonly #charged = new Map<number, string>();

  /** What a process that is seen for the first time is taken for. */
  originOf(id: InstanceId, ageMs: number, startTimeoutMs: number): Origin {
    if (this.#ready.has(instanceKey(id))) return 'known';
    if (this.#proven.has(id.pmId)) return 'started';
    return this.#unverified.has(id.pmId) || ageMs >= startTimeoutMs ? 'found' : 'launched';
  }

  /** Whether that place is one of the service's: Holdfast filled it, or has judged what runs there. */
  knows(pmId: number): boolean {
    return this.#proven.has(pmId) || this.#unverified.has(pmId);
  }

  started({ pmId }: InstanceId): void {
    this.#proven.add(pmId);
    this.#unverified.delete(pmId);
  }

  /** Whether Holdfast filled its place, or one in it has passed. */
  isProven({ pmId }: InstanceId): boolean {
    return this.#proven.has(pmId);
  }

  passed(id: InstanceId): void {
    this.started(id);
    this.#ready.add(instanceKey(id));
    this.#charged.delete(id.pmId);
  }

  charged(id: InstanceId): void {
    this.#charged.set(id.pmId, instanceKey(id));
  }

  /** Whether what it suffers from has been charged: neither its end nor the look of another supervisor is one more failure. */
  isCharged(id: InstanceId): boolean {
    return this.#charged.get(id.pmId) === instanceKey(id);
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
    for (const pmId of this.#charged.keys()) if (!numbers.has(pmId)) this.#charged.delete(pmId);
  }

  /** PM2's daemon is a new one: its numbers mean other places. */
  forget(): void {
    for (const all of [this.#proven, this.#unverified, this.#ready, this.#charged]) all.clear();
  }

  snapshot(): ProvenanceSnapshot {
    return {
      proven: [...this.#proven],
      unverified: [...this.#unverified],
      ready: [...this.#ready],
      charged: [...this.#charged.values()],
    };
  }

  restore({ proven, unverified, ready, charged }: ProvenanceSnapshot): void {
    for (const pmId of proven) this.#proven.add(pmId);
    for (const pmId of unverified) this.#unverified.add(pmId);
    for (const key of ready) this.#ready.add(key);
    for (const key of charged) this.#charged.set(pmIdOf(key), key);
  }
}
