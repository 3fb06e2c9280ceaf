/**
 * Finds the end of a message body in bytes as they come, without copying them: the proxy sends on what it received.
 *
 * Chunked coding (RFC 9112 section 7.1) is a small machine:
 *
 *   size line ──▶ data ──▶ CRLF ──▶ size line …          size 0 ──▶ trailer lines ──▶ empty line: done
 *
 * Strict, because the bytes go on as they are: sizes are plain hexadecimal, every line ends with CRLF, extensions
 * follow the grammar and are bounded. Three kinds of line do not go on as they came (`passedOn`): one that is cut by the
 * end of a buffer waits for its rest; whitespace around an extension (RFC 9112 section 7.1.1: to be read, and not to be
 * sent) goes with the extension; and a trailer whose name means something in a head goes no further (section 7.1.2).
 */
import { CR, LF } from './chars.js';
import { MALFORMED, NAME, readField, requestNameOf, type FieldSpan } from './fields.js';
import { CHUNKED, UNTIL_CLOSE } from './framing.js';

/** 2^48 and more per chunk is no chunk but an attempt at an overflow. */
const MAX_SIZE_DIGITS = 12;
const MAX_LINE_BYTES = 4_096;
/** Of all extensions and trailers of one body. */
const MAX_OVERHEAD_BYTES = 16_384;
const MAX_TRAILERS = 64;

const TOKEN_TEXT = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const QUOTED_TEXT = '"(?:[\\t !#-\\[\\]-~\\x80-\\xff]|\\\\[\\t -~\\x80-\\xff])*"';
const EXTENSIONS = new RegExp(`^(?:;${TOKEN_TEXT}(?:=(?:${TOKEN_TEXT}|${QUOTED_TEXT}))?)+$`);
const SPACED_EXTENSIONS = new RegExp(
  `^(?:[ \\t]*;[ \\t]*${TOKEN_TEXT}(?:[ \\t]*=[ \\t]*(?:${TOKEN_TEXT}|${QUOTED_TEXT}))?)+$`,
);

type State = 'size' | 'data' | 'data-end' | 'trailer' | 'plain' | 'until-close' | 'done' | 'failed';

/** What goes on instead of bytes [from, to) of a buffer. */
interface Edit {
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

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
  /** Of the buffer that was scanned last; null: all of it goes on as it is. */
  #edits: Edit[] | null = null;
  /** What goes on instead of the line that was just read; null: the line itself. */
  #instead: string | null = null;
  readonly #sink: PayloadSink | null;
  readonly #isAnswer: boolean;
  /** Payload seen so far, bytes. */
  payloadBytes = 0;
  /** What is wrong with the body; '' while nothing is. */
  problem = '';
  /** The field lines behind a chunked body that go on, each with its CRLF. */
  trailerLines = '';

  /**
   * @param length bytes, CHUNKED or UNTIL_CLOSE.
   * @param sink is told of the payload without its chunk framing.
   * @param isAnswer its trailers may name what decides about a message: servers write a Content-Length there, which means
   *   nothing and goes no further. In a request that is an attempt to make two readers disagree.
   */
  constructor(length: number, sink: PayloadSink | null = null, isAnswer = false) {
    if (length === CHUNKED) this.#state = 'size';
    else if (length === UNTIL_CLOSE) this.#state = 'until-close';
    else this.#state = length === 0 ? 'done' : 'plain';
    this.#left = Math.max(0, length);
    this.#sink = sink;
    this.#isAnswer = isAnswer;
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
    this.#edits = null;
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

  /** Whether what was scanned last goes on otherwise than it came. */
  get isEdited(): boolean {
    return this.#edits !== null;
  }

  /** What goes on of buffer[from, end), where `end` is what `scan(buffer, from)` has just returned. */
  passedOn(buffer: Buffer, from: number, end: number): Buffer {
    if (this.#edits === null) {
      return from === 0 && end === buffer.length ? buffer : buffer.subarray(from, end);
    }
    const parts: Buffer[] = [];
    let at = from;
    for (const edit of this.#edits) {
      parts.push(buffer.subarray(at, edit.from), Buffer.from(edit.text, 'latin1'));
      at = edit.to;
    }
    return Buffer.concat([...parts, buffer.subarray(at, end)]);
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
    if (end - at + this.#line.length > MAX_LINE_BYTES) {
      this.#refuse('a line of its framing is too long');
      return at;
    }
    if (lf === -1) {
      this.#line += buffer.toString('latin1', at, end);
      this.#edit(at, end, '');
      return end;
    }
    const isContinued = this.#line !== '';
    const text = this.#line + buffer.toString('latin1', at, end);
    this.#line = '';
    this.#instead = null;
    if (!this.#takeLine(text)) return at;
    if (isContinued || this.#instead !== null) this.#edit(at, end, this.#instead ?? text);
    return end;
  }

  #edit(from: number, to: number, text: string): void {
    (this.#edits ??= []).push({ from, to, text });
  }

  /** @returns false when it failed. */
  #takeLine(text: string): boolean {
    if (text.length < 2 || text.charCodeAt(text.length - 2) !== CR) {
      return this.#refuse('a line of its framing does not end with CRLF');
    }
    if (this.#state === 'size') return this.#takeSize(text);
    if (this.#state === 'trailer') return this.#takeTrailer(text);
    if (text.length !== 2) return this.#refuse('a chunk is longer than its size');
    this.#state = 'size';
    return true;
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
      return this.#refuse('a chunk size is not a plausible hexadecimal number');
    }
    if (digits < lineEnd) {
      const extensions = text.slice(digits, lineEnd);
      const isSpaced = !EXTENSIONS.test(extensions) && SPACED_EXTENSIONS.test(extensions);
      if (!this.#allowsOverhead(lineEnd - digits, isSpaced || EXTENSIONS.test(extensions))) return false;
      if (isSpaced) this.#instead = `${text.slice(0, digits)}\r\n`;
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
    const name = readField(text, 0, span) === MALFORMED ? MALFORMED : requestNameOf(text, 0, span.nameEnd);
    this.#trailers += 1;
    const isPlausible = name !== MALFORMED && (this.#isAnswer || !decidesAboutMessage(name));
    const allowed = isPlausible && this.#trailers <= MAX_TRAILERS;
    if (!this.#allowsOverhead(text.length, allowed)) return false;
    if (name === NAME.other) this.trailerLines += text;
    else this.#instead = '';
    return true;
  }

  #allowsOverhead(bytes: number, wellFormed: boolean): boolean {
    this.#overheadBytes += bytes;
    if (wellFormed && this.#overheadBytes <= MAX_OVERHEAD_BYTES) return true;
    return this.#refuse('a chunk extension or trailer is malformed, not allowed, or too much');
  }

  #refuse(problem: string): false {
    this.#state = 'failed';
    this.problem = problem;
    return false;
  }
}

/** Whether a field says where a message goes or ends. */
function decidesAboutMessage(name: number): boolean {
  return name === NAME.contentLength || name === NAME.transferEncoding || name === NAME.host;
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
