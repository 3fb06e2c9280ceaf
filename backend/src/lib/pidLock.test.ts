import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { acquirePidLock } from './pidLock.js';
import { identify, isSameProcessAlive, readProcStat, signalSameProcess } from './processIdentity.js';

let folder: string;

beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'holdfast-lock-')), 'lock');
});

afterEach(() => rmSync(join(folder, '..'), { recursive: true }));

describe('acquirePidLock', () => {
  it('is held by one at a time and can be had again after the release', async () => {
    const release = await acquirePidLock(folder);
    expect(await acquirePidLock(folder)).toBeNull();
    release?.();
    release?.();
    const again = await acquirePidLock(folder);
    expect(again).not.toBeNull();
    again?.();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('never has two holders among many contenders, and everybody gets it', async () => {
    let holders = 0;
    let held = 0;
    const contend = async (): Promise<void> => {
      const release = await acquirePidLock(folder, { waitMs: 20_000 });
      expect(release).not.toBeNull();
      holders += 1;
      expect(holders).toBe(1);
      await new Promise((resolve) => setImmediate(resolve));
      held += 1;
      holders -= 1;
      release?.();
    };
    await Promise.all(Array.from({ length: 8 }, contend));
    expect(held).toBe(8);
  });

  it('is not kept by a process that died, nor by a pid that is another process by now', async () => {
    (await acquirePidLock(folder))?.();
    const dead = spawn(process.execPath, ['-e', '']);
    await new Promise((resolve) => dead.once('exit', resolve));
    writeFileSync(join(folder, `${dead.pid}-1-aaaa`), '');
    writeFileSync(join(folder, `${process.pid}-1-bbbb`), '');
    const release = await acquirePidLock(folder);
    expect(release).not.toBeNull();
    expect(readdirSync(folder)).toHaveLength(1);
    release?.();
  });
});

describe('a process identity', () => {
  it('is that of one start of one process', () => {
    const self = identify(process.pid);
    expect(readProcStat(process.pid)?.parentPid).toBe(process.ppid);
    expect(isSameProcessAlive(self)).toBe(true);
    const earlier = { pid: self.pid, startTicks: (self.startTicks ?? 0) - 1 };
    expect(isSameProcessAlive(earlier)).toBe(false);
    expect(signalSameProcess(earlier, 'SIGKILL')).toBe(false);
  });
});
