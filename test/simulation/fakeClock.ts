/** A clock that only moves when told, and lets everything that became due run in order. */
import type { Clock } from '../../backend/src/ports.js';

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class FakeClock implements Clock {
  #nowMs = 0;
  #order = 0;
  #wallShiftMs = 0;
  /** The next one first. */
  readonly #timers: Timer[] = [];
  /** Called at least every quarter of a second of its time, and whenever it stops. */
  onAdvanced: () => void = () => undefined;
  #advancedMs = 0;
  static readonly epochMs = 1_700_000_000_000;

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return FakeClock.epochMs + this.#nowMs + this.#wallShiftMs;
  }

  /** Somebody sets the wall clock. */
  setWall(byMs: number): void {
    this.#wallShiftMs += byMs;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer: Timer = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, run };
    this.#timers.splice(this.#placeOf(timer), 0, timer);
    return () => {
      const place = this.#placeOf(timer);
      if (this.#timers[place] === timer) this.#timers.splice(place, 1);
    };
  }

  /** Where it stands, or would. */
  #placeOf({ atMs, order }: Timer): number {
    let [from, to] = [0, this.#timers.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      const other = this.#timers[middle]!;
      const isBefore = other.atMs < atMs || (other.atMs === atMs && other.order < order);
      if (isBefore) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, resolve));
  }

  /** Runs what is due within the next `durationMs`, each timer at its own time. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs;
    await settle();
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) {
      this.#timers.shift();
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
      await settle();
      if (this.#nowMs - this.#advancedMs >= 250) this.#tellAdvanced();
    }
    this.#nowMs = endMs;
    this.#tellAdvanced();
  }

  #tellAdvanced(): void {
    this.#advancedMs = this.#nowMs;
    this.onAdvanced();
  }

  get pending(): number {
    return this.#timers.length;
  }

  #next(endMs: number): Timer | undefined {
    const [first] = this.#timers;
    return first !== undefined && first.atMs <= endMs ? first : undefined;
  }
}

/** Lets promises that are already resolved run to their next wait: chains here are short. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 40; turn++) await Promise.resolve();
}
