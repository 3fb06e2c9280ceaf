import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { salvage } from './salvage.js';

const schema = z.object({
  on: z.boolean().default(true),
  services: z
    .record(
      z.string(),
      z.object({
        count: z.int().nullable().default(null),
        ports: z.array(z.int()).default([]),
        job: z
          .object({ kind: z.enum(['scale', 'deploy']), note: z.string().default('') })
          .nullable()
          .default(null),
      }),
    )
    .default({}),
});
const whole = {
  on: false,
  services: {
    a: { count: 2, ports: [1, 2, 3], job: { kind: 'scale', note: 'more' } },
    b: { count: 1, ports: [], job: null },
  },
};

/** `whole` with something else at that place. */
function damaged(place: string, garbage: unknown): unknown {
  const state = structuredClone(whole) as Record<string, unknown>;
  const keys = place.split('.');
  const parent = keys.slice(0, -1).reduce((at, key) => at[key] as Record<string, unknown>, state);
  parent[keys.at(-1)!] = garbage;
  return state;
}

describe('reading what may be damaged', () => {
  it('gives what is whole as it is, and changes nothing in it', () => {
    expect(salvage(schema, whole)).toEqual({ value: whole, problems: [] });
  });

  it.each([
    ['on', 'yes', damaged('on', true)],
    ['services.a.count', '2', damaged('services.a.count', null)],
    ['services.a.ports.1', null, damaged('services.a.ports', [1, 3])],
    ['services.a.ports', 'none', damaged('services.a.ports', [])],
    ['services.a.job.note', 5, damaged('services.a.job.note', '')],
    // Without its kind a job means nothing.
    ['services.a.job.kind', 'dance', damaged('services.a.job', null)],
    ['services.a', [], { ...whole, services: { b: whole.services.b } }],
    ['services', 7, { ...whole, services: {} }],
  ])('%s: what is bad there is named, the rest stays', (place, garbage, rest) => {
    const given = damaged(place, garbage);
    const before = structuredClone(given);
    const { value, problems } = salvage(schema, given);
    expect(value).toEqual(rest);
    expect(problems).toEqual([expect.stringMatching(`^${place}: .`)]);
    expect(given).toEqual(before);
  });

  it('takes out many at once, also neighbours in a list', () => {
    const state = {
      on: 1,
      services: {
        a: { count: {}, ports: ['x', 1, null, 2, 'y'], job: { kind: 0, note: 0 } },
        b: null,
        c: { count: 3 },
      },
    };
    const { value, problems } = salvage(schema, state);
    expect(value).toEqual({
      on: true,
      services: { a: { count: null, ports: [1, 2], job: null }, c: { count: 3, ports: [], job: null } },
    });
    expect(problems).toHaveLength(8);
  });

  it.each([[null], ['text'], [[]], [5]])('%j: nothing of it is of use', (raw) => {
    expect(salvage(schema, raw)).toEqual({ value: null, problems: [expect.stringMatching('^all of it: .')] });
  });

  it('ends, and gives what the schema accepts, whatever it is given', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        const { value, problems } = salvage(schema, { on: a, services: { a: b, b: { job: a, ports: b } } });
        expect(schema.safeParse(value).success).toBe(true);
        expect(new Set(problems).size).toBe(problems.length);
      }),
    );
  });
});
