import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import Libsql from 'libsql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { wordStoreContract } from '../../../../test/support/wordStoreContract.js';
import { recordingLog } from '../lib/testing/recordingLog.js';
import { SqliteStore } from './sqliteStore.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'holdfast-sqlite-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('SqliteStore', () => {
  wordStoreContract(() => new SqliteStore(path.join(folder, 'not-there-yet', 'words.db'), recordingLog()));

  it('waits for another writer without standing still, and gets through when it is done', async () => {
    const file = path.join(folder, 'locked.db');
    const store = new SqliteStore(file, recordingLog());
    await store.ping();
    const other = new Libsql(file);
    other.exec('BEGIN IMMEDIATE');
    let turns = 0;
    const counting = setInterval(() => (turns += 1), 1);
    const written = store.create({ name: 'n', description: '', owner: null });
    while (turns < 20) await new Promise((resolve) => setImmediate(resolve));
    other.exec('COMMIT');
    other.close();
    expect((await written).name).toBe('n');
    clearInterval(counting);
    await store.close();
  });

  it('opens again when the file was locked at first', async () => {
    const file = path.join(folder, 'locked-at-first.db');
    const other = new Libsql(file);
    other.exec('BEGIN EXCLUSIVE');
    const store = new SqliteStore(file, recordingLog());
    const pinged = store.ping();
    setTimeout(() => {
      other.exec('COMMIT');
      other.close();
    }, 200);
    await expect(pinged).resolves.toBeUndefined();
    await store.close();
  });

  it('is unavailable while its folder cannot be made, logs that once, and recovers by itself', async () => {
    const blocked = path.join(folder, 'blocked');
    writeFileSync(blocked, 'a file where the folder should be');
    const log = recordingLog();
    const store = new SqliteStore(path.join(blocked, 'words.db'), log);
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await expect(store.page(10, 0)).rejects.toMatchObject({ code: 'store.unavailable', status: 503 });
    }
    expect(log.lines.map(({ level }) => level)).toEqual(['error']);
    rmSync(blocked);
    mkdirSync(blocked);
    expect((await store.page(10, 0)).total).toBe(0);
    expect(log.lines.map(({ level }) => level)).toEqual(['error', 'info']);
    await store.close();
  });
});
