/** The end of a log is cut where it may be in the middle of a secret. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { InstanceId } from '../../domain/model.js';
import { stderrLog } from '../pm2/stderrLog.js';
import { applicationLog } from './applicationLog.js';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-log-'));
  file = join(folder, 'error.log');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const id: InstanceId = { service: 'shop', pmId: 1, startedAtMs: 0 };

const readers: readonly (readonly [string, number, () => Promise<string>])[] = [
  [
    'of a diagnosis',
    40,
    async () => {
      const tail = await applicationLog({ errorLogOf: () => file, outputLogOf: () => null }, id);
      return tail!.lines.join('\n');
    },
  ],
  ['of a black box', 32 * 8, async () => (await stderrLog(() => file).lastLines(id))!.text],
];

it.each(readers)(
  'the end %s has no secret whose name stands in the line before it',
  async (_whose, count, read) => {
    const line = 'x'.repeat(127);
    const value = `  'k3jx92ld01 ${'y'.repeat(112)}'`;
    // The value is the first line that is shown, or near it, whatever counts as one.
    for (const after of [count - 3, count - 2, count - 1, count]) {
      const lines = [
        'before',
        `${'z'.repeat(190)} password:`,
        value,
        ...Array.from({ length: after }, () => line),
      ];
      writeFileSync(file, `${lines.join('\n')}\n`);
      const shown = await read();
      expect(shown.split('\n').length).toBeGreaterThan(30);
      expect(shown).not.toContain('k3jx92ld01');
    }
  },
);

it('the end of a black box has so many bytes, of whole lines', async () => {
  writeFileSync(file, `${'z'.repeat(99)}\n`.repeat(1_000));
  const { text } = (await stderrLog(() => file).lastLines(id))!;
  expect(text.split('\n').every((line) => line === 'z'.repeat(99))).toBe(true);
  expect(text.length).toBeLessThan(32 * 1024);
  expect(text.length).toBeGreaterThan(32 * 1024 - 200);
});

it('one line that is longer than what is kept is left out', async () => {
  writeFileSync(file, `a\n${'z'.repeat(40 * 1024)}\n`);
  expect(await stderrLog(() => file).lastLines(id)).toBeNull();
});
