/**
 * Where one frame ends and the next begins, in one direction of a WebSocket (RFC 6455 section 5.2). Nothing is decoded:
 * only the lengths in the heads are read, because a frame of our own (a Close) may stand between two frames only.
 *
 *   first byte ──▶ second ──▶ (longer length: 2 or 8 bytes) ──▶ (mask: 4 bytes) ──▶ payload ──▶ first byte …
 *
 * Extensions that compress leave this as it is. What is no WebSocket after all is followed just the same, to nonsense:
 * its bytes go on untouched, and the worst that can come of it is a Close in the wrong place when we leave anyway.
 */
const OPCODE = 0x0f;
const CLOSE = 0x8;
const MASKED = 0x80;
const LENGTH = 0x7f;
const LENGTH_16 = 126;
const LENGTH_64 = 127;
const MASK_BYTES = 4;

type State = 'first' | 'second' | 'length' | 'mask' | 'payload';

export class FrameFollower {
  #state: State = 'first';
  /** Of the longer length or the mask, bytes to come. */
  #headBytes = 0;
  /** Payload of this frame to come, as far as its length is known. */
  #left = 0;
  #isMasked = false;
  #closing = false;

  /** The next byte is the first one of a frame. */
  get atBoundary(): boolean {
    return this.#state === 'first';
  }

  /** A Close frame has begun: whoever sends in this direction is done. */
  get closing(): boolean {
    return this.#closing;
  }

  /** Follows all of `bytes`. */
  follow(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) at = this.toBoundary(bytes, at);
  }

  /** Follows `bytes` from `from` to the end of the frame. @returns the place behind it, or their end when that comes first. */
  toBoundary(bytes: Buffer, from: number): number {
    let at = from;
    while (at < bytes.length) {
      if (this.#state === 'payload') {
        const taken = Math.min(this.#left, bytes.length - at);
        this.#left -= taken;
        at += taken;
        if (this.#left === 0) this.#state = 'first';
      } else {
        this.#readHead(bytes[at] ?? 0);
        at += 1;
      }
      if (this.#state === 'first') return at;
    }
    return at;
  }

  #readHead(byte: number): void {
    switch (this.#state) {
      case 'first':
        if ((byte & OPCODE) === CLOSE) this.#closing = true;
        this.#state = 'second';
        return;
      case 'second':
        this.#isMasked = (byte & MASKED) !== 0;
        this.#beginLength(byte & LENGTH);
        return;
      case 'length':
        this.#left = this.#left * 256 + byte;
        this.#headBytes -= 1;
        if (this.#headBytes === 0) this.#beginMask();
        return;
      default:
        this.#headBytes -= 1;
        if (this.#headBytes === 0) this.#beginPayload();
    }
  }

  #beginLength(length: number): void {
    this.#left = length < LENGTH_16 ? length : 0;
    if (length < LENGTH_16) {
      this.#beginMask();
      return;
    }
    this.#state = 'length';
    this.#headBytes = length === LENGTH_64 ? 8 : 2;
  }

  #beginMask(): void {
    if (!this.#isMasked) {
      this.#beginPayload();
      return;
    }
    this.#state = 'mask';
    this.#headBytes = MASK_BYTES;
  }

  #beginPayload(): void {
    this.#state = this.#left === 0 ? 'first' : 'payload';
  }
}
