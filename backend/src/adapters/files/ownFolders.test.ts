import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keepPrivate } from './ownFolders.js';

const IS_ROOT = process.getuid?.() === 0;
const STRANGER = 65_534;

let base: string;
let path: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'holdfast-folders-'));
  path = join(base, 'data');
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const keep = (groupReads = false): readonly string[] =>
  keepPrivate({ what: 'data folder', path, groupReads });
const modeOf = (name = ''): string => (statSync(join(path, name)).mode & 0o7777).toString(8);

function place(files: Readonly<Record<string, number>>, mode: number): void {
  mkdirSync(path);
  for (const [name, fileMode] of Object.entries(files)) {
    if (name.endsWith('/')) mkdirSync(join(path, name), { recursive: true });
    else {
      mkdirSync(dirname(join(path, name)), { recursive: true });
      writeFileSync(join(path, name), '');
    }
    chmodSync(join(path, name), fileMode);
  }
  chmodSync(path, mode);
}

describe('a folder of ours', () => {
  it('is made for this user alone', () => {
    const before = process.umask(0);
    try {
      expect(keep()).toEqual([]);
    } finally {
      process.umask(before);
    }
    expect(modeOf()).toBe('700');
  });

  it('that others may write is narrowed with all of ours in it, and that is said once', () => {
    place(
      { 'session-secret': 0o644, 'supervisor-state.json': 0o666, 'builds/': 0o777, 'run/': 0o755 },
      0o777,
    );
    expect(keep()).toEqual([
      `The data folder ${path} is for its owner alone now: its permissions were 0777 and are 0700.`,
    ]);
    expect(['', 'session-secret', 'supervisor-state.json', 'builds', 'run'].map(modeOf)).toEqual([
      '700',
      '600',
      '600',
      '700',
      '700',
    ]);
    expect(keep()).toEqual([]);
  });

  it('keeps less than that, and the bits that give new files its group', () => {
    place({ 'ha-gateway.log': 0o400 }, 0o500);
    expect(keep()).toEqual([]);
    expect([modeOf(), modeOf('ha-gateway.log')]).toEqual(['500', '400']);
    chmodSync(path, 0o2775);
    expect(keep()).toHaveLength(1);
    expect(modeOf()).toBe('2700');
  });

  it('may be read by its group where that is wanted, black boxes never', () => {
    place({ 'ha-gateway.log': 0o666, 'ha-gateway.log.1': 0o600, 'blackbox/': 0o755 }, 0o700);
    expect(keep(true)).toEqual([expect.stringContaining('for its owner and group alone now')]);
    expect(['', 'ha-gateway.log', 'ha-gateway.log.1', 'blackbox'].map(modeOf)).toEqual([
      '750',
      '640',
      '600',
      '700',
    ]);
    expect(keep(true)).toEqual([]);
  });
});

describe('what is not ours', () => {
  it('keeps its permissions, and is told of: a folder with other files', () => {
    place({ 'session-secret': 0o644, 'notes.txt': 0o644, syslog: 0o644, a: 0o644, b: 0o644 }, 0o777);
    expect(keep()).toEqual([
      `The data folder ${path} holds other files as well (a, b, notes.txt and 1 more), so its permissions (0777) are left as they are; other users may read and change what lies there. Give Holdfast a folder of its own.`,
    ]);
    expect(['', 'notes.txt', 'session-secret'].map(modeOf)).toEqual(['777', '644', '600']);
  });

  it.skipIf(!IS_ROOT)('… of another user, and a file of another user in ours (needs root)', () => {
    place({ 'ha-gateway.log': 0o644 }, 0o755);
    chownSync(join(path, 'ha-gateway.log'), STRANGER, STRANGER);
    expect(keep()).toEqual([
      expect.stringMatching(/holds other files as well \(ha-gateway\.log\).*may read what/),
    ]);
    chownSync(path, STRANGER, STRANGER);
    expect(keep()).toEqual([
      expect.stringContaining(`belongs to uid ${STRANGER}, so its permissions (0755)`),
    ]);
    expect([modeOf(), modeOf('ha-gateway.log')]).toEqual(['755', '644']);
  });

  it('is not reached through a link', () => {
    const outside = join(base, 'outside');
    writeFileSync(outside, '');
    chmodSync(outside, 0o644);
    place({}, 0o700);
    symlinkSync(outside, join(path, 'session-secret'));
    keep();
    expect((statSync(outside).mode & 0o777).toString(8)).toBe('644');
  });
});
