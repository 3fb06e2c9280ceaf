/**
 * Which instances of a service are on their way out: those that were withdrawn and drain, and those that serve and are to
 * be replaced because their memory nears the limit. It outlives the supervisor: its successor would otherwise see one
 * instance too many, and stop the wrong one.
 */
import { instanceKey, pmIdOf } from '../../domain/model.js';
import type { InstanceId } from '../../domain/model.js';

export interface Draining {
  /** Clock.nowMs() of the withdrawal. */
  readonly sinceMs: number;
  readonly why: string;
}

export interface LeavingSnapshot {
  readonly draining: { readonly key: string; readonly why: string }[];
  readonly recycling: { readonly key: string; readonly why: string }[];
  readonly places: { readonly pmId: number; readonly why: string }[];
}

export const NOTHING_LEAVES: LeavingSnapshot = { draining: [], recycling: [], places: [] };

export class Leaving {
  readonly #draining = new Map<string, Draining>();
  /** By number, why nothing stays there: PM2 starts what has ended again, and that leaves, too. */
  readonly #places = new Map<number, string>();
  /** Why each is to be replaced. */
  readonly #recycling = new Map<string, string>();

  drain(id: InstanceId, withdrawal: Draining): void {
    this.#draining.set(instanceKey(id), withdrawal);
  }

  /** Whatever runs at that number leaves at once, also what PM2 starts there meanwhile. */
  drainPlace(pmId: number, why: string): void {
    this.#places.set(pmId, why);
  }

  draining(id: InstanceId): Draining | null {
    const known = this.#draining.get(instanceKey(id));
    const why = this.#places.get(id.pmId);
    if (known !== undefined || why === undefined) return known ?? null;
    return { sinceMs: Number.NEGATIVE_INFINITY, why };
  }

  /** It stays. */
  stopDraining(id: InstanceId): void {
    this.forget(id);
    this.#places.delete(id.pmId);
  }

  /** That very process has gone. */
  forget(id: InstanceId): void {
    this.#draining.delete(instanceKey(id));
  }

  /** @param isBeingEnded by number; those go on leaving. */
  stopAllDraining(isBeingEnded: (pmId: number) => boolean): void {
    for (const key of this.#draining.keys()) if (!isBeingEnded(pmIdOf(key))) this.#draining.delete(key);
    for (const pmId of this.#places.keys()) if (!isBeingEnded(pmId)) this.#places.delete(pmId);
  }

  recycle(id: InstanceId, why: string): void {
    this.#recycling.set(instanceKey(id), why);
  }

  isToBeRecycled(id: InstanceId): boolean {
    return this.#recycling.has(instanceKey(id));
  }

  isRecycling(): boolean {
    return this.#recycling.size > 0;
  }

  stopRecycling(): void {
    this.#recycling.clear();
  }

  /** Forgets what PM2 does not list any more. */
  retain(listed: readonly InstanceId[]): void {
    const keys = new Set(listed.map(instanceKey));
    for (const key of this.#draining.keys()) if (!keys.has(key)) this.#draining.delete(key);
    for (const key of this.#recycling.keys()) if (!keys.has(key)) this.#recycling.delete(key);
    const numbers = new Set(listed.map(({ pmId }) => pmId));
    for (const pmId of this.#places.keys()) if (!numbers.has(pmId)) this.#places.delete(pmId);
  }

  /** PM2's numbers mean other places from now on. */
  daemonReplaced(): void {
    this.#places.clear();
  }

  snapshot(): LeavingSnapshot {
    return {
      draining: [...this.#draining].map(([key, { why }]) => ({ key, why })),
      recycling: [...this.#recycling].map(([key, why]) => ({ key, why })),
      places: [...this.#places].map(([pmId, why]) => ({ pmId, why })),
    };
  }

  /** @param nowMs gateways are told anew, so the grace begins anew. */
  restore({ draining, recycling, places }: LeavingSnapshot, nowMs: number): void {
    for (const { key, why } of draining) this.#draining.set(key, { sinceMs: nowMs, why });
    for (const { key, why } of recycling) this.#recycling.set(key, why);
    for (const { pmId, why } of places) this.#places.set(pmId, why);
  }
}
