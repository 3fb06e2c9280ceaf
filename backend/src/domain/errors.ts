/**
 * The one error class of the house. Expected outcomes are results; what is thrown is broken I/O, a refused
 * request or a bug, and always carries a stable code.
 */
export interface HoldfastErrorOptions {
  /** HTTP status the API answers with. Default 500. */
  readonly status?: number;
  /** Whether the same call may succeed later without a change by the caller. Default false. */
  readonly retryable?: boolean;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

export class HoldfastError extends Error {
  /** Stable, machine-readable, dotted: `service.unknown`, `pm2.timeout`. Part of the public API. */
  readonly code: string;
  readonly status: number;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  /** @param message says what happened, to what, and what to do about it. */
  constructor(code: string, message: string, options: HoldfastErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'HoldfastError';
    this.code = code;
    this.status = options.status ?? 500;
    this.retryable = options.retryable ?? false;
    this.details = options.details;
  }
}

/** The text of anything that was thrown, also of an object that has no text. Never throws. */
export function messageOf(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.message : thrown);
  } catch {
    return 'an object without a text';
  }
}
