/** The small parts that requests and answers share. */
import { z } from 'zod';

export const timestamp = z.iso.datetime().describe('ISO 8601, UTC.');
export const count = z.int().min(0);
export const durationMs = z.number().min(0).describe('Milliseconds.');
export const percent = z.number().min(0).describe('0–100; more where several threads or cores add up.');
export const bytes = z.number().min(0).describe('Bytes.');

/** null means "not measured", never zero. */
export const maybePercent = percent.nullable().describe('0–100; null when it was not measured.');
export const maybeBytes = bytes.nullable().describe('Bytes; null when it was not measured.');

export const instanceRef = z.object({
  pmId: count.describe("PM2's number of the instance."),
  pid: count.nullable(),
  port: count.nullable(),
});

/** Text that ends up in logs and events: no control characters, no blank. */
function line(maxLength: number, what: string): z.ZodString {
  const rule = `must be ${what} of 1–${maxLength} characters, without control characters`;
  return z
    .string({ error: rule })
    .min(1, rule)
    .max(maxLength, rule)
    .regex(/^(?=.*\S)[^\p{Cc}\p{Cs}\u2028\u2029]*$/u, rule);
}

/** A PM2 application name as a caller gives it. Whether it exists is the control plane's to say (404). */
export const serviceName = line(128, 'a service name').describe('PM2 application name of the service.');
export const reason = line(500, 'a text').describe('Why; kept in the history.');

const targetRule = 'must be an integer from 0 to 10000';
export const targetInstances = z
  .int({ error: targetRule })
  .min(0, targetRule)
  .max(10_000, targetRule)
  .describe('Instances wanted afterwards. Default: one more, or one less.');

const timeoutRule = 'must be an integer from 1 to 600000 (milliseconds)';
export const timeoutMs = z
  .int({ error: timeoutRule })
  .min(1, timeoutRule)
  .max(600_000, timeoutRule)
  .default(120_000)
  .describe('How long to wait for the outcome, ms. The operation itself goes on after it.');
