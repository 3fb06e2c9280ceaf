import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { waitFor } from '../../../../test/support/waitFor.js';
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

  interface Timer {
    readonly delayMs: number;
    readonly run: () => void;
  }
  let due: Timer[];
  let warnings: string[];
  /** Called when the next round is arranged. */
  let arranged: () => void;

  function start(reopen: () => Promise<void>): () => void {
    due = [];
    warnings = [];
    arranged = (): void => undefined;
    const clock: Clock = {
      nowMs: () => 0,
      wallMs: () => Date.now(),
      after: (delayMs, run) => {
        const timer = { delayMs, run };
        due.push(timer);
        if (delayMs === lookIntervalMs(limits.maxBytes)) arranged();
        return () => void (due = due.filter((one) => one !== timer));
      },
    };
    const quiet = (): void => undefined;
    const logger: Logger = {
      debug: quiet,
      info: quiet,
      error: quiet,
      warn: (_message, fields) => warnings.push(String(fields?.['problem'])),
    };
    return startLogRotation({ files: () => [file], limits, reopen, clock, logger });
  }

  /** @returns when the round after it is arranged. */
  function round(): Promise<void> {
    const armedAgain = new Promise<void>((resolve) => {
      arranged = resolve;
    });
    due.shift()?.run();
    return armedAgain;
  }

  it('looks regularly, reopens only after a rotation, survives a failure, and stops', async () => {
    let reopened = 0;
    const stop = start(() => {
      reopened += 1;
      return reopened === 2 ? Promise.reject(new Error('no daemon')) : Promise.resolve();
    });
    await round();
    expect(reopened).toBe(0);
    for (const expected of [1, 2, 3]) {
      writeFileSync(file, 'much too large');
      await round();
      expect(reopened).toBe(expected);
    }
    expect(warnings).toEqual(['no daemon']);
    stop();
    expect(due).toEqual([]);
  });

  it('says once that a round hangs, begins no other one meanwhile, and goes on after it', async () => {
    let goesOn: (() => void) | null = null;
    const stop = start(() => new Promise((resolve) => (goesOn = resolve)));
    writeFileSync(file, 'much too large');
    const ended = round();
    const end = await waitFor<(() => void) | null>(() => goesOn, { what: 'the round to hang' });
    expect(due.map(({ delayMs }) => delayMs)).toEqual([10_000]);
    due.shift()?.run();
    expect(warnings).toEqual(['no answer for 10 s: the disk hangs']);
    expect(due).toEqual([]);
    end();
    await ended;
    await round();
    expect(warnings).toHaveLength(1);
    stop();
    expect(due).toEqual([]);
  });
});
