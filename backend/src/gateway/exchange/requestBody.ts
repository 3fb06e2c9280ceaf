/**
 * A request's body on its way: where it ends, and as much of it as may be needed again.
 *
 * What has been read is kept up to a bound, so that a request can be sent again as a whole. Before there is an
 * upstream connection the kept bytes are also what waits to be sent; a body larger than that waits in the client's
 * socket. Once sending has begun and the bound is passed, nothing is kept any more and there is no second attempt.
 */
import { BodyScanner } from '../http1/bodyScanner.js';

export class RequestBody {
  readonly #scanner: BodyScanner;
  readonly #maxKeptBytes: number;
  #kept: Buffer[] | null = [];
  #keptBytes = 0;

  /** @param length bytes or CHUNKED. */
  constructor(length: number, maxKeptBytes: number) {
    this.#scanner = new BodyScanner(length);
    this.#maxKeptBytes = maxKeptBytes;
  }

  get done(): boolean {
    return this.#scanner.done;
  }

  /** Why it is malformed; '' while it is not. */
  get problem(): string {
    return this.#scanner.problem;
  }

  get payloadBytes(): number {
    return this.#scanner.payloadBytes;
  }

  /** All of it that was read, or null when that was too much to keep. */
  get kept(): readonly Buffer[] | null {
    return this.#kept;
  }

  /** Whether reading more before sending has begun would keep more than allowed. */
  get isFull(): boolean {
    return this.#keptBytes >= this.#maxKeptBytes;
  }

  /**
   * Reads on in chunk[from, …) and keeps a copy of what it read.
   * @param sending whether it is being sent: then what is too much to keep is let go.
   * @returns the end of what belongs to the body.
   */
  read(chunk: Buffer, from: number, sending: boolean): number {
    const end = this.#scanner.scan(chunk, from);
    if (this.#kept === null || end === from) return end;
    if (sending && this.#keptBytes + end - from > this.#maxKeptBytes) this.forget();
    else {
      const piece = Buffer.from(this.passedOn(chunk, from, end));
      this.#kept.push(piece);
      this.#keptBytes += piece.length;
    }
    return end;
  }

  /** What goes on of what was read last. See BodyScanner. */
  passedOn(chunk: Buffer, from: number, end: number): Buffer {
    return this.#scanner.passedOn(chunk, from, end);
  }

  /** Lets go of what was kept: it will not be sent again. */
  forget(): void {
    this.#kept = null;
    this.#keptBytes = 0;
  }

  /** What was kept has been sent: lets go of it when it is too much to be kept on. */
  trim(): void {
    if (this.#keptBytes > this.#maxKeptBytes) this.forget();
  }
}

/** Of every request that has none: there is nothing in it that could change. */
export const NO_BODY = new RequestBody(0, 0);
