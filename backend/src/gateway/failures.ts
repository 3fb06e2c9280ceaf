/** What a client is told when no upstream answered its request. */
import type { AttemptFailure } from '../domain/retry.js';

export interface Failure {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

/**
 * @param detail for whoever debugs; it names no address of the inside.
 * @param status of the answer that was dropped, with `status`.
 */
export function describeFailure(failure: AttemptFailure, detail: string, status: number): Failure {
  switch (failure) {
    case 'connect':
      return {
        status: 502,
        code: 'upstream.unreachable',
        message: `The upstream could not be reached: ${detail}.`,
      };
    case 'timeout':
      return { status: 504, code: 'upstream.timeout', message: 'The upstream did not answer in time.' };
    case 'status':
      return { status, code: 'upstream.unavailable', message: `The upstream can't serve: ${detail}.` };
    default:
      return {
        status: 502,
        code: 'upstream.failed',
        message: `The upstream gave no valid answer: ${detail}.`,
      };
  }
}

export function nobodyAvailable(pool: string): Failure {
  return {
    status: 503,
    code: 'upstream.none',
    message: `No upstream of "${pool}" takes traffic at the moment.`,
  };
}
