import type { z } from 'zod/v3';
import { AppError } from './errors.js';

/** @throws AppError 400 `request.invalid` with every problem, one per field. */
export function parse<T extends z.ZodTypeAny>(schema: T, input: unknown): z.output<T> {
  const result = schema.safeParse(input);
  if (result.success) return result.data as z.output<T>;
  const details = result.error.issues.map(({ path, message }) => ({
    field: path.join('.'),
    problem: message,
  }));
  const first = details[0];
  const where = first === undefined || first.field === '' ? '' : `${first.field}: `;
  throw new AppError('request.invalid', `${where}${first?.problem ?? 'invalid'}`, { status: 400, details });
}
