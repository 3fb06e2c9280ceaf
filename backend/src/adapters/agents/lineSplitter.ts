/**
 * Cuts what arrives on a connection into lines. Bounded twice: no line is longer than its connection may send just now,
 * and all unfinished lines of all connections together fit in one budget, so that many peers that never send a line's
 * end cost as little as one.
 */

/** What unfinished lines of all connections may hold together. */
export class LineBudget {
  readonly #mostBytes: number;
  #usedBytes = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** False when it does not fit; nothing is taken then. */
  take(bytes: number): boolean {
    if (this.#usedBytes + bytes > this.#mostBytes) return false;
    this.#usedBytes += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#usedBytes -= bytes;
  }
}

export type Split = 'ok' | 'too-long' | 'no-room' | 'stopped';

const NEWLINE = 0x0a;
const FIRST_BYTES = 4 * 1024;

export class LineSplitter {
  readonly #budget: LineBudget;
  /** The unfinished line: one buffer that grows by doubling, however small the pieces are. */
  #held: Buffer | null = null;
  #heldBytes = 0;

  constructor(budget: LineBudget) {
    this.#budget = budget;
  }

  /**
   * Hands every complete line, without its end, to `onLine`, until that answers false.
   * @param mostBytes longest line; asked anew for each, because a peer that has introduced itself may say more.
   */
  push(chunk: Buffer, mostBytes: () => number, onLine: (line: string) => boolean): Split {
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(NEWLINE, from);
      const piece = end === -1 ? chunk.length - from : end - from;
      if (this.#heldBytes + piece > mostBytes()) return 'too-long';
      if (end === -1) return this.#hold(chunk, from) ? 'ok' : 'no-room';
      const line =
        this.#heldBytes === 0 ? chunk.toString('utf8', from, end) : this.#complete(chunk, from, end);
      if (line === null) return 'no-room';
      from = end + 1;
      if (!onLine(line)) return 'stopped';
    }
  }

  /** Forgets the unfinished line. */
  clear(): void {
    if (this.#held !== null) this.#budget.giveBack(this.#held.length);
    this.#held = null;
    this.#heldBytes = 0;
  }

  #complete(chunk: Buffer, from: number, end: number): string | null {
    if (!this.#hold(chunk.subarray(0, end), from)) return null;
    const line = this.#held?.toString('utf8', 0, this.#heldBytes) ?? '';
    this.clear();
    return line;
  }

  #hold(chunk: Buffer, from: number): boolean {
    const bytes = chunk.length - from;
    if (bytes === 0) return true;
    const needed = this.#heldBytes + bytes;
    const before = this.#held;
    if (before === null || needed > before.length) {
      const size = Math.max(FIRST_BYTES, 2 ** Math.ceil(Math.log2(needed)));
      if (!this.#budget.take(size - (before?.length ?? 0))) return false;
      this.#held = Buffer.allocUnsafeSlow(size);
      before?.copy(this.#held, 0, 0, this.#heldBytes);
    }
    chunk.copy(this.#held ?? chunk, this.#heldBytes, from);
    this.#heldBytes = needed;
    return true;
  }
}
