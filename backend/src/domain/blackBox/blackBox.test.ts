/** Names that are safe, and who makes room for whom. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blackBoxId, isBlackBoxId, surplusEntries } from './blackBox.js';
import type { FailureCause } from '../model.js';

const AT = '2026-01-02T03:04:05.678Z';

describe('an id', () => {
  it('says whose it is and when', () => {
    expect(blackBoxId({ service: 'my-api', pmId: 3, startedAtMs: 0 }, AT)).toBe(
      'my-api-3-2026-01-02T03-04-05.678Z',
    );
  });

  it('is a safe name of a folder, whatever the service is called', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), fc.nat(1e6), (service, pmId) => {
        const id = blackBoxId({ service, pmId, startedAtMs: 0 }, AT);
        expect(isBlackBoxId(id)).toBe(true);
        expect(id).not.toMatch(/[/\\]|^\./);
      }),
    );
    expect(blackBoxId({ service: '../../etc', pmId: 1, startedAtMs: 0 }, AT)).toMatch(/^etc-1-/);
    expect(blackBoxId({ service: '日本', pmId: 1, startedAtMs: 0 }, AT)).toMatch(/^service-1-/);
  });

  it.each(['', '.', '..', '../a', 'a/b', '-a', '.new-a', 'a\u0000', 'a\n', 'x'.repeat(151)])(
    'is not %j',
    (text) => {
      expect(isBlackBoxId(text)).toBe(false);
    },
  );
});

interface Kept {
  readonly id: string;
  readonly service: string;
  readonly cause: FailureCause;
  readonly at: string;
  readonly bytes: number;
}

const kept = (service: string, cause: FailureCause, second: number, bytes = 1_000): Kept => {
  const at = new Date(second * 1_000).toISOString();
  return { id: `${service}-${cause}-${second}`, service, cause, at, bytes };
};

const entries = fc
  .array(
    fc.record({
      service: fc.constantFrom('a', 'b', 'c'),
      cause: fc.constantFrom<FailureCause>('crashed', 'hung', 'memory'),
      bytes: fc.integer({ min: 1, max: 1_000 }),
    }),
    { maxLength: 60 },
  )
  .map((all) => all.map(({ service, cause, bytes }, second) => kept(service, cause, second, bytes)));

describe('who makes room', () => {
  it('nobody while there is enough', () => {
    const all = [kept('a', 'hung', 1), kept('a', 'crashed', 2)];
    expect(surplusEntries(all, { mostEntries: 2, mostBytes: 2_000 }, null)).toEqual([]);
  });

  it('a crash loop gives up its own oldest ones, never what explains something else', () => {
    const loop = Array.from({ length: 20 }, (_, index) => kept('a', 'crashed', 10 + index));
    const others = [kept('a', 'hung', 1), kept('b', 'crashed', 2), kept('b', 'crashed', 3)];
    const gone = surplusEntries([...loop, ...others], { mostEntries: 10, mostBytes: 1e9 }, null);
    expect(gone).toEqual(loop.slice(0, 13).map(({ id }) => id));
  });

  it('by size, the group that takes the most room', () => {
    const all = [kept('a', 'hung', 1, 100), kept('b', 'hung', 2, 900), kept('a', 'hung', 3, 100)];
    expect(surplusEntries(all, { mostEntries: 9, mostBytes: 500 }, null)).toEqual(['b-hung-2']);
  });

  it('of groups that are as large, the one with the oldest entry', () => {
    const all = [kept('a', 'hung', 2), kept('b', 'hung', 1), kept('c', 'hung', 3)];
    expect(surplusEntries(all, { mostEntries: 2, mostBytes: 1e9 }, null)).toEqual(['b-hung-1']);
  });

  it('always gets within the limits, spares whom it must, and removes no more than needed', () => {
    fc.assert(
      fc.property(
        entries,
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1_000, max: 9_000 }),
        (all, n, size) => {
          const spared = all.at(-1)?.id ?? null;
          const gone = surplusEntries(all, { mostEntries: n, mostBytes: size }, spared);
          const left = all.filter(({ id }) => !gone.includes(id));
          const bytesOf = (some: readonly Kept[]): number => some.reduce((sum, { bytes }) => sum + bytes, 0);
          expect(left.length).toBeLessThanOrEqual(n);
          expect(bytesOf(left)).toBeLessThanOrEqual(size);
          expect(gone).not.toContain(spared);
          expect(new Set(gone).size).toBe(gone.length);
          // Without its last one it would not have been enough.
          const before = all.filter(({ id }) => !gone.slice(0, -1).includes(id));
          if (gone.length > 0) expect(before.length > n || bytesOf(before) > size).toBe(true);
        },
      ),
    );
  });

  it('by number: whoever lost an entry has as many as anybody else, or one less', () => {
    fc.assert(
      fc.property(entries, fc.integer({ min: 1, max: 30 }), (all, mostEntries) => {
        const gone = surplusEntries(all, { mostEntries, mostBytes: Infinity }, null);
        const group = ({ service, cause }: Kept): string => `${service}/${cause}`;
        const count = (some: readonly Kept[], name: string): number =>
          some.filter((each) => group(each) === name).length;
        const left = all.filter(({ id }) => !gone.includes(id));
        const most = Math.max(0, ...left.map((each) => count(left, group(each))));
        for (const each of all.filter(({ id }) => gone.includes(id))) {
          expect(count(left, group(each))).toBeGreaterThanOrEqual(most - 1);
        }
      }),
    );
  });
});
