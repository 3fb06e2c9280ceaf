/**
 * Frames of PM2's two sockets (the AMP format, https://github.com/tj/node-amp):
 *
 *   1 byte   version (high nibble, always 1) and number of arguments (low nibble)
 *   then for every argument: 4 bytes length (big endian), that many bytes
 *
 * An argument is `j:` + JSON, `s:` + text, or raw bytes. amp's own stream parser believes every length it reads
 * and so can be made to buffer 4 GiB; this splitter refuses a frame beyond a limit as soon as its length is known.
 * Arguments are handed out undecoded, so that a reader of the event bus parses only what it wants.
 */
import { decode } from 'amp';
import Message from 'amp-message';

const VERSION = 1;

/** The peer does not speak this protocol, or not within its limits. The connection is of no more use. */
export class FrameError extends Error {}

export function encodeFrame(args: unknown[]): Buffer {
  return new Message(args).toBuffer();
}

/** Decodes one argument. Throws a FrameError when it claims to be JSON and is not. */
export function decodeArgument(argument: Buffer): unknown {
  const kind = argument.toString('latin1', 0, 2);
  if (kind === 's:') return argument.toString('utf8', 2);
  if (kind !== 'j:') return argument;
  try {
    return JSON.parse(argument.toString('utf8', 2));
  } catch (error) {
    throw new FrameError('an argument is marked as JSON but cannot be parsed', { cause: error });
  }
}

/** Cuts a byte stream into frames; keeps at most one incomplete frame of at most `maxFrameBytes`. */
export class FrameSplitter {
  readonly #maxFrameBytes: number;
  #chunks: Buffer[] = [];
  #bufferedBytes = 0;
  /** Looking again is of no use before this many bytes are there: keeps a long frame from being joined often. */
  #neededBytes = 1;

  constructor(maxFrameBytes: number) {
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** Arguments of every frame that `chunk` completes. Throws a FrameError; the splitter is then unusable. */
  push(chunk: Buffer): Buffer[][] {
    this.#chunks.push(chunk);
    this.#bufferedBytes += chunk.length;
    const frames: Buffer[][] = [];
    if (this.#bufferedBytes < this.#neededBytes) return frames;

    const bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    let start = 0;
    let endBytes = this.#measure(bytes, start);
    while (endBytes.complete) {
      frames.push(decode(bytes.subarray(start, start + endBytes.bytes)));
      start += endBytes.bytes;
      endBytes = this.#measure(bytes, start);
    }
    this.#neededBytes = endBytes.bytes;
    const rest = bytes.subarray(start);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#bufferedBytes = rest.length;
    return frames;
  }

  /** Length of the frame at `start`, or how much of it must be there before more can be said. */
  #measure(bytes: Buffer, start: number): { complete: boolean; bytes: number } {
    const available = bytes.length - start;
    if (available < 1) return { complete: false, bytes: 1 };
    const meta = bytes.readUInt8(start);
    if (meta >> 4 !== VERSION) throw new FrameError(`frame of unknown version ${meta >> 4}`);
    let length = 1;
    for (let left = meta & 0xf; left > 0; left -= 1) {
      if (available < length + 4) return { complete: false, bytes: length + 4 };
      length += 4 + bytes.readUInt32BE(start + length);
      if (length > this.#maxFrameBytes) {
        throw new FrameError(`frame of more than ${this.#maxFrameBytes} bytes`);
      }
    }
    return { complete: available >= length, bytes: length };
  }
}
