import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { closeFrame, maskedCloseFrame } from './closeFrame.js';
import { FrameFollower } from './frameFollower.js';

interface Frame {
  readonly opcode: number;
  readonly masked: boolean;
  /** Bits FIN and RSV1–3: compression sets RSV1. */
  readonly flags: number;
  readonly payload: Buffer;
  /** Lengths may be written longer than need be; a follower need not judge that. */
  readonly form: 0 | 1 | 2;
}

function bytesOf({ opcode, masked, flags, payload, form }: Frame): Buffer {
  const { length } = payload;
  const least = length < 126 ? 0 : length < 65_536 ? 1 : 2;
  const used = Math.max(form, least);
  const mask = masked ? 0x80 : 0;
  const first = Buffer.from([(flags << 4) | opcode, mask | (used === 0 ? length : used === 1 ? 126 : 127)]);
  const long = Buffer.alloc([0, 2, 8][used]!);
  if (used === 1) long.writeUInt16BE(length);
  if (used === 2) long.writeBigUInt64BE(BigInt(length));
  return Buffer.concat([first, long, masked ? Buffer.from([1, 2, 3, 4]) : Buffer.alloc(0), payload]);
}

const frames = fc.array(
  fc.record<Frame>({
    opcode: fc.constantFrom(0x0, 0x1, 0x2, 0x9, 0xa),
    masked: fc.boolean(),
    flags: fc.nat(15),
    // Bytes that look like heads, and lengths on both sides of where their form changes.
    payload: fc
      .oneof(fc.nat(20), fc.constantFrom(0, 125, 126, 127, 65_535, 65_536, 70_000))
      .map((n) => Buffer.alloc(n, 0x88)),
    form: fc.constantFrom(0, 1, 2),
  }),
  { maxLength: 12 },
);

/** The stream in pieces, cut anywhere. */
const pieces = fc.tuple(frames, fc.array(fc.nat(70), { minLength: 1, maxLength: 40 })).map(([all, sizes]) => {
  const stream = Buffer.concat(all.map(bytesOf));
  const cut: Buffer[] = [];
  for (let at = 0, i = 0; at < stream.length; i += 1) {
    // A few short pieces first, so that heads are cut in all places; then what is left, in large ones.
    const size = i < 60 ? 1 + sizes[i % sizes.length]! : 20_000;
    cut.push(stream.subarray(at, at + size));
    at += size;
  }
  return { all, cut };
});

describe('following frames', () => {
  it('finds every boundary and nothing else, wherever the bytes are cut', () => {
    fc.assert(
      fc.property(pieces, ({ all, cut }) => {
        const expected: number[] = [];
        let end = 0;
        for (const frame of all) expected.push((end += bytesOf(frame).length));
        const follower = new FrameFollower();
        const found: number[] = [];
        let offset = 0;
        for (const piece of cut) {
          for (let at = 0; at < piece.length;) {
            at = follower.toBoundary(piece, at);
            if (follower.atBoundary) found.push(offset + at);
            else expect(at).toBe(piece.length);
          }
          offset += piece.length;
        }
        expect(found).toEqual(expected);
        expect(follower.closing).toBe(false);
      }),
    );
  });

  it('ends between frames exactly when the last one is whole', () => {
    fc.assert(
      fc.property(frames, fc.nat(), (all, cutAt) => {
        const stream = Buffer.concat(all.map(bytesOf));
        const whole = new FrameFollower();
        whole.follow(stream);
        expect(whole.atBoundary).toBe(true);
        const lengths = all.map((frame) => bytesOf(frame).length);
        const ends = lengths.map((_length, index) =>
          lengths.slice(0, index + 1).reduce((sum, each) => sum + each, 0),
        );
        const length = stream.length === 0 ? 0 : cutAt % stream.length;
        const partial = new FrameFollower();
        partial.follow(stream.subarray(0, length));
        expect(partial.atBoundary).toBe(length === 0 || ends.includes(length));
      }),
    );
  });

  it('notices a Close by its first byte, and in no payload', () => {
    const follower = new FrameFollower();
    follower.follow(Buffer.from([0x82, 2, 0x88, 0x00]));
    expect(follower.closing).toBe(false);
    follower.follow(Buffer.from([0x88]));
    expect([follower.closing, follower.atBoundary]).toEqual([true, false]);
    follower.follow(Buffer.from([0x00]));
    expect([follower.closing, follower.atBoundary]).toEqual([true, true]);
  });

  it('does not mistake the longest length for a short one', () => {
    const follower = new FrameFollower();
    follower.follow(Buffer.from([0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0]));
    follower.follow(Buffer.alloc(1_000_000));
    expect(follower.atBoundary).toBe(false);
  });
});

describe('a Close of ours', () => {
  it('says "going away", as a server', () => {
    expect([...closeFrame()]).toEqual([0x88, 2, 0x03, 0xe9]);
    const follower = new FrameFollower();
    follower.follow(closeFrame());
    expect([follower.closing, follower.atBoundary]).toEqual([true, true]);
  });

  it('says the same in the name of a client, under any mask', () => {
    fc.assert(
      fc.property(fc.nat(0xffff_ffff), (mask) => {
        const frame = maskedCloseFrame(mask);
        expect([...frame.subarray(0, 2)]).toEqual([0x88, 0x82]);
        expect(frame.readUInt32BE(2)).toBe(mask);
        const code = ((frame[6]! ^ frame[2]!) << 8) | (frame[7]! ^ frame[3]!);
        expect(code).toBe(1001);
        const follower = new FrameFollower();
        follower.follow(frame);
        expect(follower.atBoundary).toBe(true);
      }),
    );
  });
});
