/** Grows the process's resident memory at a steady rate, up to a hard ceiling. */
const STEP_MS = 100;
/** Enough to cross any limit an instance is given here, not enough to hurt the machine. */
export const LEAK_CEILING_MB = 768;

export class MemoryLeak {
  #held: Buffer[] = [];
  #heldBytes = 0;
  #timer: NodeJS.Timeout | null = null;

  get heldMb(): number {
    return this.#heldBytes / 1024 / 1024;
  }

  /** Goes on from what is held already, at the new rate. 0 stops and lets go of everything. */
  start(mbPerSecond: number): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    if (mbPerSecond <= 0) {
      this.#held = [];
      this.#heldBytes = 0;
      return;
    }
    const stepBytes = Math.round((mbPerSecond * 1024 * 1024 * STEP_MS) / 1000);
    this.#timer = setInterval(() => this.#grow(stepBytes), STEP_MS);
    this.#timer.unref();
  }

  #grow(stepBytes: number): void {
    const bytes = Math.min(stepBytes, LEAK_CEILING_MB * 1024 * 1024 - this.#heldBytes);
    if (bytes <= 0) return;
    this.#held.push(Buffer.alloc(bytes, 1)); // filled: only touched pages are resident
    this.#heldBytes += bytes;
  }
}
