/**
 * The one shape of every JSON answer. `success` says whether the call did what it was asked; the status agrees
 * with it, but for a health check that worked and found nothing serving: that is `data` with 503.
 */
import { z } from 'zod';

export interface Success {
  readonly success: true;
  readonly data: unknown;
  readonly timestamp: string;
}

export interface Failure {
  readonly success: false;
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly details?: Readonly<Record<string, unknown>>;
  };
  readonly timestamp: string;
}

export const failureSchema = z.object({
  success: z.literal(false),
  error: z.object({
    code: z.string().describe('Stable and machine-readable, e.g. `service.unknown`.'),
    message: z.string().describe('What happened, to what, and what to do.'),
    details: z.record(z.string(), z.unknown()).optional(),
  }),
  timestamp: z.iso.datetime(),
});

export function success(data: unknown): Success {
  return { success: true, data, timestamp: new Date().toISOString() };
}

export function failure(code: string, message: string, details?: Readonly<Record<string, unknown>>): Failure {
  return {
    success: false,
    error: details === undefined ? { code, message } : { code, message, details },
    timestamp: new Date().toISOString(),
  };
}
