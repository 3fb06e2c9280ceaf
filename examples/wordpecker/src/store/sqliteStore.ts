/**
 * Word lists in one SQLite file, shared by every instance on the machine.
 *
 * libsql works synchronously: while it waits for another instance's write lock, the event loop stands still.
 * So SQLite itself waits only briefly (`busy_timeout`), and longer waits happen here, between attempts, where
 * the loop goes on serving. WAL lets readers go on beside the one writer.
 */
import type { Database } from 'libsql';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { codeOf } from '../lib/errors.js';
import type { Log } from '../lib/log.js';
import { Outage } from '../lib/outage.js';
import {
  MAX_WORDS_PER_LIST,
  storeUnavailable,
  type AddWordsResult,
  type ListChange,
  type ListSummary,
  type NewList,
  type NewWord,
  type Word,
  type WordList,
  type WordStore,
} from './wordStore.js';

const BUSY_TIMEOUT_MS = 50;
/** How long a call keeps trying while others hold the lock. */
const BUSY_PATIENCE_MS = 3000;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS lists (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL, owner TEXT, created_at_ms INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS lists_by_age ON lists (created_at_ms DESC, id);
  CREATE TABLE IF NOT EXISTS words (
    id TEXT PRIMARY KEY,
    list_id TEXT NOT NULL REFERENCES lists (id) ON DELETE CASCADE,
    term TEXT NOT NULL,
    meaning TEXT NOT NULL,
    UNIQUE (list_id, term)
  ) WITHOUT ROWID;
`;

interface ListRow {
  id: string;
  name: string;
  description: string;
  owner: string | null;
  created_at_ms: number;
}

export class SqliteStore implements WordStore {
  readonly #file: string;
  readonly #outage: Outage;
  #database: Promise<Database> | null = null;
  #closed = false;

  /** Opens nothing yet: the file and its folder are made at the first call. */
  constructor(file: string, log: Log) {
    this.#file = file;
    this.#outage = new Outage(`the database file ${file}`, log);
  }

  page(limit: number, offset: number): Promise<{ lists: ListSummary[]; total: number }> {
    return this.#run((database) => {
      const rows = database
        .prepare(
          `SELECT lists.*, (SELECT count(*) FROM words WHERE list_id = lists.id) AS word_count
           FROM lists ORDER BY created_at_ms DESC, id LIMIT ? OFFSET ?`,
        )
        .all(limit, offset) as (ListRow & { word_count: number })[];
      const { total } = database.prepare('SELECT count(*) AS total FROM lists').get() as { total: number };
      return { lists: rows.map((row) => ({ ...toList(row), wordCount: row.word_count })), total };
    });
  }

  find(id: string): Promise<WordList | null> {
    return this.#run((database) => findList(database, id));
  }

  create(list: NewList): Promise<WordList> {
    const made: WordList = { id: randomUUID(), ...list, createdAtMs: Date.now(), words: [] };
    return this.#run((database) => {
      database
        .prepare('INSERT INTO lists (id, name, description, owner, created_at_ms) VALUES (?, ?, ?, ?, ?)')
        .run(made.id, made.name, made.description, made.owner, made.createdAtMs);
      return made;
    });
  }

  update(id: string, change: ListChange): Promise<WordList | null> {
    return this.#run((database) => {
      database
        .prepare(
          'UPDATE lists SET name = coalesce(?, name), description = coalesce(?, description) WHERE id = ?',
        )
        .run(change.name, change.description, id);
      return findList(database, id);
    });
  }

  remove(id: string): Promise<boolean> {
    return this.#run((database) => database.prepare('DELETE FROM lists WHERE id = ?').run(id).changes > 0);
  }

  addWords(id: string, words: readonly NewWord[]): Promise<AddWordsResult> {
    return this.#run((database) => {
      // IMMEDIATE takes the write lock first, so that what was counted is still true when it is written.
      database.exec('BEGIN IMMEDIATE');
      try {
        const result = addWords(database, id, words);
        database.exec(result.kind === 'added' ? 'COMMIT' : 'ROLLBACK');
        return result;
      } catch (error) {
        database.exec('ROLLBACK');
        throw error;
      }
    });
  }

  removeWord(id: string, wordId: string): Promise<boolean> {
    return this.#run(
      (database) =>
        database.prepare('DELETE FROM words WHERE list_id = ? AND id = ?').run(id, wordId).changes > 0,
    );
  }

  ping(): Promise<void> {
    return this.#run((database) => void database.prepare('SELECT 1 FROM lists LIMIT 1').get());
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#letGo();
  }

  /** Runs `work`, again while the file is locked, and turns what SQLite throws into `store.unavailable`. */
  async #run<T>(work: (database: Database) => T): Promise<T> {
    const patienceEndsMs = performance.now() + BUSY_PATIENCE_MS;
    for (let attempt = 0; ; attempt += 1) {
      try {
        if (this.#closed) throw new Error('the store is closed');
        const result = work(await this.#open());
        this.#outage.works();
        return result;
      } catch (error) {
        if (!isBusy(error) || performance.now() > patienceEndsMs) {
          this.#outage.failed(error);
          await this.#letGo();
          throw storeUnavailable(error);
        }
        await sleep(Math.random() * Math.min(100, 5 * 2 ** attempt));
      }
    }
  }

  /** An attempt to open it that fails is not kept: the next call makes another. */
  #open(): Promise<Database> {
    const opening = (this.#database ??= openDatabase(this.#file));
    opening.catch(() => {
      if (this.#database === opening) this.#database = null;
    });
    return opening;
  }

  /** Whatever is wrong with the file (gone, read-only, replaced, disk full), a fresh handle is the way back. */
  async #letGo(): Promise<void> {
    const opening = this.#database;
    this.#database = null;
    const database = await opening?.catch(() => null);
    database?.close();
  }
}

async function openDatabase(file: string): Promise<Database> {
  // Loaded when first needed: a service on MySQL never pays for it.
  const { default: Libsql } = await import('libsql');
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const database = new Libsql(file);
  try {
    database.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    database.exec('PRAGMA journal_mode = WAL');
    database.exec('PRAGMA synchronous = NORMAL');
    database.exec('PRAGMA foreign_keys = ON');
    database.exec(SCHEMA);
  } catch (error) {
    database.close();
    throw error;
  }
  return database;
}

function findList(database: Database, id: string): WordList | null {
  const row = database.prepare('SELECT * FROM lists WHERE id = ?').get(id) as ListRow | undefined;
  if (row === undefined) return null;
  const words = database
    .prepare('SELECT id, term, meaning FROM words WHERE list_id = ? ORDER BY term')
    .all(id) as Word[];
  return { ...toList(row), words };
}

function addWords(database: Database, id: string, words: readonly NewWord[]): AddWordsResult {
  if (findList(database, id) === null) return { kind: 'no-such-list' };
  const insert = database.prepare(
    `INSERT INTO words (id, list_id, term, meaning) VALUES (?, ?, ?, ?)
     ON CONFLICT (list_id, term) DO UPDATE SET meaning = excluded.meaning`,
  );
  for (const { term, meaning } of words) insert.run(randomUUID(), id, term, meaning);
  const list = findList(database, id);
  if (list === null) return { kind: 'no-such-list' };
  return list.words.length > MAX_WORDS_PER_LIST ? { kind: 'too-many' } : { kind: 'added', list };
}

function toList(row: ListRow): Omit<WordList, 'words'> {
  const { id, name, description, owner, created_at_ms: createdAtMs } = row;
  return { id, name, description, owner, createdAtMs };
}

function isBusy(error: unknown): boolean {
  const code = codeOf(error) ?? '';
  return code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED');
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
