/** A secret that reaches over lines is found, whatever piece of the output comes when. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { secrets, SECRET_SHAPES, shows } from '../../../../test/support/secretShapes.js';
import { REDACTED } from './ofProcess.js';
import { LINES_BEFORE, OutputLines } from './outputLines.js';

/** Shapes in which the secret stands in several lines, or in another one than its name. */
const OVER_LINES = SECRET_SHAPES.filter(({ write }) => write('k3jx92ld01').includes('\n'));

/** What is shown of lines that come in pieces of these lengths. */
function shownOf(lines: readonly string[], lengths: readonly number[]): string[] {
  const output = new OutputLines();
  const shown: string[] = [];
  let from = 0;
  for (const length of [...lengths, lines.length]) {
    shown.push(...output.next(lines.slice(from, from + length)));
    from += length;
  }
  return shown;
}

describe('a secret in lines that come piece by piece', () => {
  it.each(OVER_LINES)('is taken out: $shape', ({ write, plain }) => {
    fc.assert(
      fc.property(
        secrets(plain === true),
        fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 12 }),
        fc.array(fc.constantFrom('GET /a 200', 'ready', ''), { maxLength: 4 }),
        (secret, lengths, before) => {
          const lines = [...before, ...write(secret).split('\n'), 'and on'];
          const shown = shownOf(lines, lengths);
          expect(shown).toHaveLength(lines.length);
          expect(shows(shown.join('\n'), secret), shown.join('\n')).toBe(false);
          expect(shown.slice(0, before.length)).toEqual(before);
          expect(shown.at(-1)).toBe('and on');
        },
      ),
    );
  });

  it('there are such shapes', () => expect(OVER_LINES.length).toBeGreaterThan(5));

  it('is found behind as many lines as a large key has, and no more are remembered', () => {
    const body = Array.from(
      { length: 52 },
      (_, i) => `MIIEvQ${String(i).padStart(2, '0')}${'aB3'.repeat(18)}`,
    );
    const lines = ['-----BEGIN PRIVATE KEY-----', ...body, 'c2hvcnQ='];
    const shown = shownOf(
      lines,
      lines.map(() => 1),
    );
    expect(shown).toEqual([lines[0], ...body.map(() => REDACTED), REDACTED]);
    const others = Array.from({ length: LINES_BEFORE }, () => '!');
    expect(
      shownOf(
        ['password:', ...others, "'c2hvcnQ'"],
        lines.map(() => 1),
      ).at(-1),
    ).toBe("'c2hvcnQ'");
  });

  it('costs no other line its colours', () => {
    const red = '\u001b[31mred\u001b[39m';
    expect(
      new OutputLines().next([red, '\u001b[35mpassword\u001b[39m=\u001b[32mhunter22\u001b[39m', red]),
    ).toEqual([red, `password=${REDACTED}`, red]);
  });

  it('in many lines at once takes no more than linear time', () => {
    const lines = Array.from(
      { length: 100_000 },
      (_, i) => `10:00:00 info request ${i} took 3 ms, user=${i}`,
    );
    const beganMs = performance.now();
    expect(new OutputLines().next(lines)).toEqual(lines);
    // A second; anything worse would take minutes.
    expect(performance.now() - beganMs).toBeLessThan(15_000);
  });
});
