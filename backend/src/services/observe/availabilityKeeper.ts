/** Keeps the tallies of domain/statistics/availability per service, fed by the loop's looks and by failures and recoveries. */
import {
  addElapsed,
  addFailure,
  addLoss,
  addRecovery,
  addScaling,
  EMPTY_TALLY,
  figuresOf,
  mergeTallies,
  restoreTally,
} from '../../domain/statistics/availability.js';
import type { AvailabilityTally } from '../../domain/statistics/availability.js';
import type { HighAvailabilityFigures } from '../../domain/statistics/availability.js';
import type { Clock } from '../../ports.js';

export interface LastRecovery {
  readonly atMs: number;
  readonly afterMs: number;
}

export class AvailabilityKeeper {
  readonly #clock: Clock;
  readonly #tallies = new Map<string, AvailabilityTally>();
  /** What was seen at the last look: it holds until the next one. */
  readonly #looks = new Map<string, { readonly atMs: number; readonly serving: boolean }>();
  readonly #recoveries = new Map<string, LastRecovery>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A look at the service: whether anything of it serves. */
  observe(service: string, serving: boolean): void {
    const atMs = this.#clock.nowMs();
    const last = this.#looks.get(service);
    this.#looks.set(service, { atMs, serving });
    if (last !== undefined)
      this.#change(service, (tally) => addElapsed(tally, atMs - last.atMs, last.serving));
  }

  /** Whether it has ever served, under former supervisors, too. */
  hasServed(service: string): boolean {
    return (this.#tallies.get(service)?.servingMs ?? 0) > 0;
  }

  failed(service: string): void {
    this.#change(service, addFailure);
  }

  recovered(service: string, afterMs: number): void {
    this.#recoveries.set(service, { atMs: this.#clock.wallMs(), afterMs });
    this.#change(service, (tally) => addRecovery(tally, afterMs));
  }

  /** A failure ended in quarantine. */
  lost(service: string): void {
    this.#change(service, addLoss);
  }

  scaled(service: string, afterMs: number): void {
    this.#change(service, (tally) => addScaling(tally, afterMs));
  }

  lastRecovery(service: string): LastRecovery | null {
    return this.#recoveries.get(service) ?? null;
  }

  figures(service: string): HighAvailabilityFigures {
    return figuresOf(this.#tallies.get(service) ?? EMPTY_TALLY);
  }

  overall(): HighAvailabilityFigures {
    return figuresOf(mergeTallies([...this.#tallies.values()]));
  }

  snapshot(): Readonly<Record<string, AvailabilityTally>> {
    return Object.fromEntries(this.#tallies);
  }

  restore(snapshot: unknown): void {
    if (typeof snapshot !== 'object' || snapshot === null) return;
    for (const [service, saved] of Object.entries(snapshot)) this.#tallies.set(service, restoreTally(saved));
  }

  #change(service: string, change: (tally: AvailabilityTally) => AvailabilityTally): void {
    this.#tallies.set(service, change(this.#tallies.get(service) ?? EMPTY_TALLY));
  }
}
