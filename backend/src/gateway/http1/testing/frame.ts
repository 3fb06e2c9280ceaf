/** Cuts a byte stream into requests as a client connection does, without sockets: for tests. */
import { BodyScanner } from '../bodyScanner.js';
import { findHeadEnd, HOPELESS, INCOMPLETE, skipEmptyLines } from '../headFinder.js';
import type { HeadLimits } from '../refusal.js';
import { parseRequestHead, RequestHead } from '../requestHead.js';

export interface FramedRequest {
  readonly head: RequestHead;
  /** Decoded payload, latin1. */
  readonly body: string;
  /** What is sent on of it: its head as it came, and its body. */
  readonly passed: string;
  /** Where in the stream it ends. */
  readonly endsAt: number;
}

export interface Framed {
  readonly requests: readonly FramedRequest[];
  /** `closed`: a request said that it is the last. `end`: between two requests. `partial`: in the middle of one. */
  readonly outcome: 'end' | 'partial' | 'closed' | { readonly refused: string };
}

export const LIMITS: HeadLimits = { maxHeadBytes: 16_384, maxTargetBytes: 8_192, maxFields: 100 };

/** @param pieces the stream as it was cut on its way. */
export function frame(pieces: readonly Buffer[], limits: HeadLimits = LIMITS): Framed {
  const requests: FramedRequest[] = [];
  let pending = Buffer.alloc(0);
  let seen = 0;
  let read = 0;
  const result = (outcome: Framed['outcome']): Framed => ({ requests, outcome });
  let current: { head: RequestHead; scanner: BodyScanner; body: string[]; passed: string } | null = null;
  for (const piece of pieces) {
    pending = Buffer.concat([pending, piece]);
    read += piece.length;
    for (;;) {
      if (current !== null) {
        const end = current.scanner.scan(pending, 0);
        if (current.scanner.failed) return result({ refused: current.scanner.problem });
        current.passed += current.scanner.passedOn(pending, 0, end).toString('latin1');
        pending = pending.subarray(end);
        seen = 0;
        if (!current.scanner.done) break;
        const { head, body, passed } = current;
        requests.push({ head, body: body.join(''), passed, endsAt: read - pending.length });
        if (!current.head.persistent) return result('closed');
        current = null;
      }
      const from = skipEmptyLines(pending, 0);
      const end = findHeadEnd(pending, from, Math.max(0, seen - from));
      if (end === HOPELESS) return result({ refused: 'hopeless' });
      if ((end === INCOMPLETE ? pending.length : end) - from > limits.maxHeadBytes) {
        return result({ refused: 'head.too-large' });
      }
      if (end === INCOMPLETE) {
        seen = pending.length;
        break;
      }
      const head = new RequestHead();
      const problem = parseRequestHead(pending.toString('latin1', from, end - 2), limits, head);
      if (problem !== null) return result({ refused: problem.code });
      const body: string[] = [];
      const scanner = new BodyScanner(head.bodyLength, (buffer, start, stop) => {
        body.push(buffer.toString('latin1', start, stop));
      });
      current = { head, scanner, body, passed: pending.toString('latin1', from, end) };
      pending = pending.subarray(end);
      seen = 0;
    }
  }
  return result(current === null && skipEmptyLines(pending, 0) === pending.length ? 'end' : 'partial');
}
