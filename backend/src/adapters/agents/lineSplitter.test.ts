import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LineBudget, LineSplitter } from './lineSplitter.js';

function splitting(mostBytes = 1_000, budgetBytes = 100_000) {
  const budget = new LineBudget(budgetBytes);
  const splitter = new LineSplitter(budget);
  const lines: string[] = [];
  const push = (chunk: Buffer) =>
    splitter.push(
      chunk,
      () => mostBytes,
      (line) => lines.push(line) > 0,
    );
  return { budget, splitter, lines, push };
}

describe('LineSplitter', () => {
  test('gives the lines whatever pieces they come in, and holds nothing afterwards', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: 'grapheme', maxLength: 40 }).map((line) => line.replaceAll('\n', ''))),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
        (lines, sizes) => {
          const it = splitting();
          const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
          for (let from = 0, turn = 0; from < bytes.length; turn += 1) {
            const size = sizes[turn % sizes.length]!;
            expect(it.push(bytes.subarray(from, from + size))).toBe('ok');
            from += size;
          }
          expect(it.lines).toEqual(lines.map((line) => Buffer.from(line).toString()));
          expect(it.budget.usedBytes).toBe(0);
        },
      ),
    );
  });

  test('refuses a line that is too long, with its end and before it', () => {
    expect(splitting(10).push(Buffer.from('12345678901\n'))).toBe('too-long');
    const it = splitting(10);
    expect(it.push(Buffer.from('12345'))).toBe('ok');
    expect(it.push(Buffer.from('678901'))).toBe('too-long');
    expect(it.push(Buffer.from('67890\n'))).toBe('ok');
    expect(it.lines).toEqual(['1234567890']);
  });

  test('many unfinished lines share one budget, which is given back', () => {
    const budget = new LineBudget(20_000);
    const splitters = Array.from({ length: 5 }, () => new LineSplitter(budget));
    const results = splitters.map((splitter) =>
      splitter.push(
        Buffer.from('x'),
        () => 10_000,
        () => true,
      ),
    );
    expect(results).toEqual(['ok', 'ok', 'ok', 'ok', 'no-room']);
    splitters[0]!.clear();
    expect(
      splitters[4]!.push(
        Buffer.from('x'),
        () => 10_000,
        () => true,
      ),
    ).toBe('ok');
  });

  test('a megabyte in single bytes is held once', () => {
    const it = splitting(2 ** 20, 2 ** 20);
    const byte = Buffer.from('x');
    for (let i = 0; i < 2 ** 20 - 1; i++) it.push(byte);
    expect(it.budget.usedBytes).toBe(2 ** 20);
    expect(it.push(Buffer.from('\n'))).toBe('ok');
    expect(it.lines[0]).toHaveLength(2 ** 20 - 1);
  });

  test('stops where it is told to', () => {
    const splitter = new LineSplitter(new LineBudget(1_000));
    const lines: string[] = [];
    const result = splitter.push(
      Buffer.from('a\nb\nc\n'),
      () => 100,
      (line) => {
        lines.push(line);
        return line !== 'b';
      },
    );
    expect([result, lines]).toEqual(['stopped', ['a', 'b']]);
  });
});
