/**
 * Finds the end of a message body in bytes as they come, without copying them: the proxy sends on what it received.
 *
 * Chunked coding (RFC 9112 section 7.1) is a small machine:
 *
 *   size line ──▶ data ──▶ CRLF ──▶ size line …          size 0 ──▶ trailer lines ──▶ empty line: done
 *
 * Strict, because the bytes go on as they are: sizes are plain hexadecimal, every line ends with CRLF, extensions
 * follow the grammar and are bounded, and trailers may not carry what belongs into a head.
 */
import { CR, LF } from './chars.js';
import { MALFORMED, NAME, nameOf, readField, type FieldSpan } from './fields.js';
import { CHUNKED, UNTIL_CLOSE } from './framing.js';

/** 2^48 and more per chunk is no chunk but an attempt at an overflow. */
const MAX_SIZE_DIGITS = 12;
const MAX_LINE_BYTES = 4_096;
/** Of all extensions and trailers of one body. */
const MAX_OVERHEAD_BYTES = 16_384;
const MAX_TRAILERS = 64;

const EXTENSIONS =
  /^(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[\t !#-[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"))?)+$/;

type State = 'size' | 'data' | 'data-end' | 'trailer' | 'plain' | 'until-close' | 'done' | 'failed';

/** Told of decoded payload: buffer[from, to). */
export type PayloadSink = (buffer: Buffer, from: number, to: number) => void;

export class BodyScanner {
  #state: State;
  /** Payload bytes to come: of the chunk, or of a body of known length. */
  #left: number;
  /** Begin of a line that continues in the next buffer. */
  #line = '';
  #overheadBytes = 0;
  #trailers = 0;
  readonly #sink: PayloadSink | null;
  /** Payload seen so far, bytes. */
  payloadBytes = 0;
  /** What is wrong with the body; '' while nothing is. */
  problem = '';
  /** The field lines behind a chunked body, each with its CRLF. */
  trailerLines = '';

  /**
   * @param length bytes, CHUNKED or UNTIL_CLOSE.
   * @param sink is told of the payload without its chunk framing.
   */
  constructor(length: number, sink: PayloadSink | null = null) {
    if (length === CHUNKED) this.#state = 'size';
    else if (length === UNTIL_CLOSE) this.#state = 'until-close';
    else this.#state = length === 0 ? 'done' : 'plain';
    this.#left = Math.max(0, length);
    this.#sink = sink;
  }

  get done(): boolean {
    return this.#state === 'done';
  }

  get failed(): boolean {
    return this.#state === 'failed';
  }

  /**
   * Goes on with buffer[from, …).
   * @returns the end of what belongs to the body; buffer.length while it goes on, or where it failed.
   */
  scan(buffer: Buffer, from: number): number {
    let at = from;
    while (at < buffer.length) {
      switch (this.#state) {
        case 'plain':
        case 'data':
          at = this.#payload(buffer, at, Math.min(buffer.length, at + this.#left));
          break;
        case 'until-close':
          return this.#payload(buffer, at, buffer.length);
        case 'done':
        case 'failed':
          return at;
        default:
          at = this.#readLine(buffer, at);
      }
    }
    return at;
  }

  #payload(buffer: Buffer, from: number, to: number): number {
    this.payloadBytes += to - from;
    this.#sink?.(buffer, from, to);
    if (this.#state === 'until-close') return to;
    this.#left -= to - from;
    if (this.#left === 0) this.#state = this.#state === 'plain' ? 'done' : 'data-end';
    return to;
  }

  #readLine(buffer: Buffer, at: number): number {
    const lf = buffer.indexOf(LF, at);
    const end = lf === -1 ? buffer.length : lf + 1;
    if (end - at + this.#line.length > MAX_LINE_BYTES)
      return this.#fail('a line of its framing is too long', at);
    if (lf === -1) {
      this.#line += buffer.toString('latin1', at, end);
      return end;
    }
    const text =
      this.#line === ''
        ? buffer.toString('latin1', at, end)
        : this.#line + buffer.toString('latin1', at, end);
    this.#line = '';
    if (text.length < 2 || text.charCodeAt(text.length - 2) !== CR) {
      return this.#fail('a line of its framing does not end with CRLF', at);
    }
    if (this.#state === 'size') return this.#takeSize(text) ? end : at;
    if (this.#state === 'trailer') return this.#takeTrailer(text) ? end : at;
    if (text.length !== 2) return this.#fail('a chunk is longer than its size', at);
    this.#state = 'size';
    return end;
  }

  #takeSize(text: string): boolean {
    const lineEnd = text.length - 2;
    let size = 0;
    let digits = 0;
    for (; digits < lineEnd; digits += 1) {
      const digit = hexDigit(text.charCodeAt(digits));
      if (digit === -1) break;
      size = size * 16 + digit;
    }
    if (digits === 0 || digits > MAX_SIZE_DIGITS) {
      this.#fail('a chunk size is not a plausible hexadecimal number', 0);
      return false;
    }
    if (
      digits < lineEnd &&
      !this.#allowsOverhead(lineEnd - digits, EXTENSIONS.test(text.slice(digits, lineEnd)))
    ) {
      return false;
    }
    this.#left = size;
    this.#state = size === 0 ? 'trailer' : 'data';
    return true;
  }

  #takeTrailer(text: string): boolean {
    if (text.length === 2) {
      this.#state = 'done';
      return true;
    }
    const span: FieldSpan = { nameEnd: 0, valueStart: 0, valueEnd: 0 };
    const name = readField(text, 0, span) === MALFORMED ? MALFORMED : nameOf(text, 0, span.nameEnd);
    this.#trailers += 1;
    const allowed = name === NAME.other && this.#trailers <= MAX_TRAILERS;
    if (!this.#allowsOverhead(text.length, allowed)) return false;
    this.trailerLines += text;
    return true;
  }

  #allowsOverhead(bytes: number, wellFormed: boolean): boolean {
    this.#overheadBytes += bytes;
    if (wellFormed && this.#overheadBytes <= MAX_OVERHEAD_BYTES) return true;
    this.#fail('a chunk extension or trailer is malformed, not allowed, or too much', 0);
    return false;
  }

  #fail(problem: string, at: number): number {
    this.#state = 'failed';
    this.problem = problem;
    return at;
  }
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
