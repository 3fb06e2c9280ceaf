/**
 * Input of one call, checked in full: every problem of path, query and body is reported at once, by name, and
 * never with the offending value (it may be a secret).
 */
import { z } from 'zod';
import { HoldfastError } from '../domain/errors.js';
import type { RouteInput } from './route.js';

export interface InputProblem {
  /** `body.targetInstances`, `query.limit`, `path.serviceName`; just `body` when it is wrong as a whole. */
  readonly field: string;
  readonly problem: string;
}

const MAX_PROBLEMS = 20;
const MAX_NAME_LENGTH = 64;
const nothing = z.strictObject({});

interface InputSchemas<P, Q, B> {
  readonly params: z.ZodType<P> | undefined;
  readonly query: z.ZodType<Q> | undefined;
  readonly body: z.ZodType<B> | undefined;
}

/**
 * @param raw an absent body counts as an empty one.
 * @throws HoldfastError `request.invalid` (400), `details.problems` being InputProblem[] (at most 20).
 */
export function parseInput<P, Q, B>(
  raw: RouteInput<unknown, unknown, unknown>,
  schemas: InputSchemas<P, Q, B>,
): RouteInput<P, Q, B> {
  const problems: InputProblem[] = [];
  const read = <T>(part: string, schema: z.ZodType<T> | undefined, value: unknown): T => {
    const parsed = (schema ?? (nothing as unknown as z.ZodType<T>)).safeParse(value);
    if (parsed.success) return parsed.data;
    for (const issue of parsed.error.issues) problems.push(...describe(part, issue, schema));
    return undefined as T;
  };
  const input = {
    params: read('path', schemas.params, raw.params),
    query: read('query', schemas.query, raw.query),
    body: read('body', schemas.body, raw.body ?? {}),
  };
  if (problems.length === 0) return input;
  const shown = problems.slice(0, MAX_PROBLEMS);
  const more = problems.length - shown.length;
  throw new HoldfastError(
    'request.invalid',
    `The request is not valid: ${shown.map((p) => `${p.field} ${p.problem}`).join('; ')}${more > 0 ? `; and ${more} more` : ''}.`,
    { status: 400, details: { problems: shown } },
  );
}

function describe(part: string, issue: z.core.$ZodIssue, schema: z.ZodType | undefined): InputProblem[] {
  if (issue.code === 'unrecognized_keys') {
    const known = schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
    const hint = known.length === 0 ? 'nothing is expected here' : `known are ${known.join(', ')}`;
    return issue.keys.slice(0, MAX_PROBLEMS + 1).map((key) => ({
      field: `${part}.${printable(key)}`,
      problem: `is unknown (${hint})`,
    }));
  }
  const field = [part, ...issue.path.map((step) => printable(String(step)))].join('.');
  return [{ field, problem: issue.message }];
}

function printable(name: string): string {
  const clean = name.replace(/[^\x20-\x7e]/g, '?');
  return clean.length > MAX_NAME_LENGTH ? `${clean.slice(0, MAX_NAME_LENGTH)}…` : clean;
}
