/** The text of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The system's or driver's code of anything that was thrown (`ECONNREFUSED`, `SQLITE_BUSY`, …), or null. */
export function codeOf(thrown: unknown): string | null {
  if (typeof thrown !== 'object' || thrown === null || !('code' in thrown)) return null;
  return typeof thrown.code === 'string' ? thrown.code : null;
}

export interface AppErrorOptions {
  /** HTTP status of the answer. Default 500. */
  readonly status?: number;
  /** Sent as `Retry-After`, in whole seconds: the same request may succeed later. Default: not sent. */
  readonly retryAfterSeconds?: number;
  /** What exactly was wrong, e.g. one entry per invalid field. Sent to the client. */
  readonly details?: unknown;
  readonly cause?: unknown;
}

/** An expected refusal: the error mapper turns it into `{"success":false,"error":{code,message,details?}}`. */
export class AppError extends Error {
  /** Stable and dotted: `list.unknown`, `store.unavailable`. */
  readonly code: string;
  readonly status: number;
  readonly retryAfterSeconds: number | undefined;
  readonly details: unknown;

  /** @param message says what happened, to what, and what to do about it. */
  constructor(code: string, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.status = options.status ?? 500;
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.details = options.details;
  }
}
