/** What a client is told when no upstream answered its request, or when its body cannot be passed on. */
import type { PoolSnapshot } from '../../domain/upstreams/pool.js';
import type { AttemptFailure } from '../../domain/upstreams/retry.js';

export interface Failure {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  /** Why nothing of the pool is up: for those who run the gateway, not for every client. */
  readonly trouble?: string | undefined;
}

/**
 * @param detail for whoever debugs; it names no address of the inside.
 * @param status of the answer that was dropped, with `status`.
 */
export function describeFailure(
  failure: AttemptFailure,
  detail: string,
  status: number,
  { trouble }: Pick<PoolSnapshot, 'trouble'>,
): Failure {
  switch (failure) {
    case 'connect':
      return {
        status: 502,
        code: 'upstream.unreachable',
        message: `The upstream could not be reached: ${detail}.`,
        trouble,
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

export function nobodyAvailable({ name, trouble }: Pick<PoolSnapshot, 'name' | 'trouble'>): Failure {
  return {
    status: 503,
    code: 'upstream.none',
    message: `No upstream of "${name}" takes traffic at the moment.`,
    trouble,
  };
}

export const QUEUE_TIMEOUT: Failure = {
  status: 503,
  code: 'queue.timeout',
  message: 'No upstream had room for the request in time.',
};

export function queueFull(pool: string): Failure {
  return {
    status: 503,
    code: 'queue.full',
    message: `Every upstream of "${pool}" is busy and too many requests wait.`,
  };
}

export const BODY_TIMEOUT: Failure = {
  status: 408,
  code: 'body.timeout',
  message: "The request's body did not arrive in time.",
};

export function bodyMalformed(problem: string): Failure {
  return { status: 400, code: 'body.malformed', message: `The request's body is malformed: ${problem}.` };
}

export function bodyTooLarge(maxBytes: number): Failure {
  return {
    status: 413,
    code: 'body.too-large',
    message: `The request's body is larger than ${maxBytes} bytes.`,
  };
}
