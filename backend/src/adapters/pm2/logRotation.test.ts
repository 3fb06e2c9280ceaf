import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Clock, Logger } from '../../ports.js';
import { lookIntervalMs, rotate, startLogRotation } from './logRotation.js';

const limits = { maxBytes: 10, maxAgeMs: 86_400_000, keep: 2 };
let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-logs-'));
  file = join(folder, 'out.log');
});

afterEach(() => rmSync(folder, { recursive: true }));

function contents(): (string | null)[] {
  return ['', '.1', '.2', '.3'].map((end) =>
    existsSync(file + end) ? readFileSync(file + end, 'utf8') : null,
  );
}

describe('rotate', () => {
  it('shifts a file that is too large, keeps so many, and leaves small ones', async () => {
    for (const text of ['first, too large', 'second, too large', 'third, too large']) {
      writeFileSync(file, text);
      expect(await rotate([file, file, '/dev/null', join(folder, 'none.log')], limits, Date.now())).toEqual([
        file,
      ]);
    }
    writeFileSync(file, 'small');
    expect(await rotate([file], limits, Date.now())).toEqual([]);
    expect(contents()).toEqual(['small', 'third, too large', 'second, too large', null]);
  });

  it('shifts one that was begun too long ago, unless it is empty', async () => {
    writeFileSync(file, 'small');
    const later = Date.now() + limits.maxAgeMs + 1_000;
    expect(await rotate([file], limits, later)).toEqual([file]);
    expect(contents()).toEqual([null, 'small', null, null]);
    writeFileSync(file, '');
    expect(await rotate([file], limits, later)).toEqual([]);
  });

  it('deletes a rotated one that is too old, also where nothing is written any more', async () => {
    for (const text of ['first, too large', 'second, too large']) {
      writeFileSync(file, text);
      await rotate([file], limits, Date.now());
    }
    const longAgo = new Date(Date.now() - limits.maxAgeMs - 1_000);
    utimesSync(`${file}.2`, longAgo, longAgo);
    expect(await rotate([file], limits, Date.now())).toEqual([]);
    expect(contents()).toEqual([null, 'second, too large', null, null]);
  });

  it('just drops it when none is to be kept', async () => {
    writeFileSync(file, 'much too large');
    expect(await rotate([file], { ...limits, keep: 0 }, Date.now())).toEqual([file]);
    expect(contents()).toEqual([null, null, null, null]);
  });
});

describe('startLogRotation', () => {
  it.each([
    [1024 * 1024, 200],
    [10 * 1024 * 1024, 1_280],
    [100, 200],
    [2 ** 40, 60_000],
  ])('looks at a limit of %d bytes every %d ms', (maxBytes, intervalMs) => {
    expect(lookIntervalMs(maxBytes)).toBe(intervalMs);
  });

  it('looks regularly, reopens only after a rotation, survives a failure, and stops', async () => {
    const due: (() => void)[] = [];
    let settle = (): void => undefined;
    const clock: Clock = {
      nowMs: () => 0,
      wallMs: () => Date.now(),
      after: (_delayMs, run) => {
        due.push(run);
        settle();
        return () => void due.splice(due.indexOf(run), 1);
      },
    };
    const round = (): Promise<void> => {
      const armedAgain = new Promise<void>((resolve) => {
        settle = resolve;
      });
      due.shift()?.();
      return armedAgain;
    };
    let reopened = 0;
    const warnings: string[] = [];
    const quiet = (): void => undefined;
    const logger: Logger = {
      debug: quiet,
      info: quiet,
      error: quiet,
      warn: (message) => warnings.push(message),
    };
    const reopen = (): Promise<void> => {
      reopened += 1;
      return reopened === 2 ? Promise.reject(new Error('no daemon')) : Promise.resolve();
    };
    const stop = startLogRotation({ files: () => [file], limits, reopen, clock, logger });
    await round();
    expect(reopened).toBe(0);
    for (const expected of [1, 2, 3]) {
      writeFileSync(file, 'much too large');
      await round();
      expect(reopened).toBe(expected);
    }
    expect(warnings).toHaveLength(1);
    stop();
    expect(due).toEqual([]);
  });
});
