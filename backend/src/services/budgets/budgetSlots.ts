/**
 * The charges of one service, by slot. A slot is a number of PM2 and whatever replaces it: a replacement shares the slot
 * of the one it is to replace (a *succession*) for as long as both are there. It takes over the charges; when it leaves
 * and its predecessor stays, they go back, with what was added.
 */
import type { Charge } from '../../domain/failures/failover.js';

/** One that was started in the place of another which still runs. */
interface Succession {
  /** The number of the predecessor. */
  readonly replaces: number;
  /** What it took over; the rest of its charges are its own. */
  readonly inherited: readonly Charge[];
  /** One without a process may still come back, for as long as PM2 lists it. */
  readonly predecessorRuns: boolean;
}

const MAX_SLOTS = 1000;

export class BudgetSlots {
  readonly #charges = new Map<number, readonly Charge[]>();
  /** By the number of the new one. */
  readonly #successions = new Map<number, Succession>();
  /** Numbers that have filled the place of one that was gone. */
  readonly #fillers = new Set<number>();

  chargesOf(pmId: number): readonly Charge[] {
    return this.#charges.get(pmId) ?? [];
  }

  all(): readonly (readonly Charge[])[] {
    return [...this.#charges.values()];
  }

  set(pmId: number, charges: readonly Charge[]): void {
    this.#charges.set(pmId, charges);
    const oldest = this.#charges.keys().next();
    if (this.#charges.size > MAX_SLOTS && oldest.done !== true) this.#charges.delete(oldest.value);
  }

  /** What was charged to that place before. */
  add(pmId: number, before: readonly Charge[]): void {
    this.set(pmId, [...before, ...this.chargesOf(pmId)]);
  }

  delete(pmId: number): void {
    this.#charges.delete(pmId);
  }

  /** … and what they were. */
  take(pmId: number): readonly Charge[] {
    const charges = this.chargesOf(pmId);
    this.delete(pmId);
    return charges;
  }

  /** Whom it is to replace, while that still runs. */
  predecessorOf(pmId: number): number | null {
    const succession = this.#successions.get(pmId);
    return succession?.predecessorRuns === true ? succession.replaces : null;
  }

  /** The number of the one that was started in its place; null: none was. */
  successorOf(pmId: number): number | null {
    for (const [successor, { replaces }] of this.#successions) if (replaces === pmId) return successor;
    return null;
  }

  /** A replacement shares its predecessor's slot from now on, and has its charges. Idempotent. */
  succeed(fromPmId: number, toPmId: number): void {
    if (this.#successions.get(toPmId)?.replaces === fromPmId) return;
    const inherited = this.chargesOf(fromPmId);
    this.#move(fromPmId, toPmId);
    this.#successions.set(toPmId, { replaces: fromPmId, inherited, predecessorRuns: true });
  }

  /** Which numbers have a process, and which are listed at all: a succession ends when one of the two is not listed. */
  see(running: ReadonlySet<number>, listed: ReadonlySet<number>): void {
    for (const [pmId, succession] of this.#successions) {
      const { replaces, predecessorRuns } = succession;
      if (!listed.has(pmId)) this.#giveBack(pmId, true);
      else if (!listed.has(replaces)) this.#takeOver(replaces);
      else if (running.has(replaces) !== predecessorRuns) {
        // What it was charged meanwhile counts for the one that runs.
        if (predecessorRuns) this.#move(replaces, pmId);
        this.#successions.set(pmId, { ...succession, predecessorRuns: !predecessorRuns });
      }
    }
  }

  /**
   * A new instance that replaces none fills the place of one that is gone: of the most charged among them. Without
   * it, what ends and is not restarted by PM2 would begin with a whole budget every time. It fills one place, however often
   * that is asked for.
   * @param present numbers that PM2 lists.
   * @returns whether there was such a place.
   */
  fillGap(toPmId: number, present: ReadonlySet<number>): boolean {
    if (this.#fillers.has(toPmId)) return true;
    const gone = [...this.#charges].filter(([pmId]) => pmId !== toPmId && !present.has(pmId));
    const [heaviest] = gone.sort(([, a], [, b]) => b.length - a.length);
    if (heaviest === undefined) return false;
    this.#move(heaviest[0], toPmId);
    this.#fillers.add(toPmId);
    const [oldest] = this.#fillers;
    if (this.#fillers.size > MAX_SLOTS && oldest !== undefined) this.#fillers.delete(oldest);
    return true;
  }

  /**
   * That one is gone for good, and its charges with it, unless its predecessor is still there and has them again.
   * @param forgiven what it failed of was the fault of a build that is taken back: only what it inherited goes back.
   */
  forget(pmId: number, forgiven: boolean): void {
    this.#giveBack(pmId, !forgiven);
    this.#takeOver(pmId);
    this.#charges.delete(pmId);
    this.#fillers.delete(pmId);
  }

  /** All is forgiven. */
  clearCharges(): void {
    this.#charges.clear();
    for (const [pmId, succession] of this.#successions) {
      this.#successions.set(pmId, { ...succession, inherited: [] });
    }
  }

  /** The numbers mean other processes now. */
  forgetNumbers(): void {
    this.#charges.clear();
    this.#successions.clear();
    this.#fillers.clear();
  }

  snapshot() {
    return {
      slots: [...this.#charges].map(([pmId, charges]) => ({ pmId, charges: [...charges] })),
      successions: [...this.#successions].map(([pmId, { replaces, inherited }]) => ({
        pmId,
        replaces,
        inherited: [...inherited],
      })),
    };
  }

  restore({ slots, successions }: ReturnType<BudgetSlots['snapshot']>): void {
    for (const { pmId, charges } of slots.slice(0, MAX_SLOTS)) this.#charges.set(pmId, charges);
    for (const { pmId, ...succession } of successions.slice(0, MAX_SLOTS)) {
      this.#successions.set(pmId, { ...succession, predecessorRuns: true });
    }
  }

  #move(fromPmId: number, toPmId: number): void {
    const charges = this.#charges.get(fromPmId);
    if (charges === undefined) return;
    this.#charges.delete(fromPmId);
    this.#charges.set(toPmId, [...charges, ...this.chargesOf(toPmId)]);
  }

  /** The predecessor has gone: its successor has the slot alone, with what the predecessor was charged meanwhile. */
  #takeOver(fromPmId: number): void {
    for (const [pmId, { replaces }] of this.#successions) {
      if (replaces !== fromPmId) continue;
      this.#successions.delete(pmId);
      this.#move(fromPmId, pmId);
    }
  }

  /** The successor has gone: its predecessor has the slot alone again. */
  #giveBack(pmId: number, withOwn: boolean): void {
    const succession = this.#successions.get(pmId);
    if (succession === undefined) return;
    this.#successions.delete(pmId);
    const charges = withOwn ? this.chargesOf(pmId) : succession.inherited;
    this.#charges.delete(pmId);
    if (charges.length === 0) return;
    this.#charges.set(succession.replaces, [...charges, ...this.chargesOf(succession.replaces)]);
  }
}
