import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeArgument, encodeFrame, FrameError, FrameSplitter } from './frames.js';

const LIMIT = 64 * 1024;

/** Cuts `bytes` at the given places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set(places.map((place) => place % bytes.length))].sort((a, b) => a - b);
  return [0, ...at].map((from, index) => bytes.subarray(from, at[index] ?? bytes.length));
}

const message = fc.array(fc.oneof(fc.jsonValue(), fc.string()), { minLength: 1, maxLength: 4 });

describe('FrameSplitter', () => {
  it('gives back every message, however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(message, { minLength: 1, maxLength: 6 }),
        fc.array(fc.nat()),
        (messages, places) => {
          const splitter = new FrameSplitter(LIMIT);
          const stream = Buffer.concat(messages.map((args) => encodeFrame(args)));
          const frames = cut(stream, places).flatMap((chunk) => splitter.push(chunk));
          const decoded = frames.map((frame) => frame.map(decodeArgument));
          expect(JSON.stringify(decoded)).toBe(JSON.stringify(messages));
        },
      ),
    );
  });

  it('answers arbitrary bytes with frames or a FrameError, and nothing else', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 }), (chunks) => {
        const splitter = new FrameSplitter(LIMIT);
        try {
          for (const chunk of chunks) {
            for (const frame of splitter.push(Buffer.from(chunk)))
              for (const argument of frame) decodeArgument(argument);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError);
        }
      }),
    );
  });

  it('refuses a frame beyond the limit as soon as its length is known', () => {
    const claimsFourGigabytes = Buffer.from([0x11, 0xff, 0xff, 0xff, 0xff]);
    expect(() => new FrameSplitter(LIMIT).push(claimsFourGigabytes)).toThrow(FrameError);
    const adds = Buffer.concat([
      Buffer.from([0x12, 0, 0, 0xff, 0xff]),
      Buffer.alloc(0xffff),
      Buffer.from([0, 0, 1, 0]),
    ]);
    expect(() => new FrameSplitter(LIMIT).push(adds)).toThrow(`more than ${LIMIT} bytes`);
  });

  it('refuses another version of the protocol', () => {
    expect(() => new FrameSplitter(LIMIT).push(Buffer.from('HTTP/1.1 400 Bad Request'))).toThrow(FrameError);
  });
});

describe('decodeArgument', () => {
  it('knows text, JSON and raw bytes', () => {
    expect(decodeArgument(Buffer.from('s:grün'))).toBe('grün');
    expect(decodeArgument(Buffer.from('j:{"a":[1]}'))).toEqual({ a: [1] });
    expect(decodeArgument(Buffer.from([1, 2]))).toEqual(Buffer.from([1, 2]));
  });

  it('says when JSON is broken', () => {
    expect(() => decodeArgument(Buffer.from('j:{"a"'))).toThrow(FrameError);
  });
});
