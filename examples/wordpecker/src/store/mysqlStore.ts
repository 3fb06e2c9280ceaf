/**
 * Word lists in MySQL (or MariaDB). The pool reconnects by itself; a connection on which anything but a plain
 * SQL error happened is thrown away. Tables are made at the first call that gets through, by whichever instance
 * comes first: a named lock keeps the others from doing it at the same time.
 */
import { randomUUID } from 'node:crypto';
import type { Pool, PoolConnection, ResultSetHeader, RowDataPacket } from 'mysql2/promise';
import { codeOf } from '../lib/errors.js';
import type { Log } from '../lib/log.js';
import { Outage } from '../lib/outage.js';
import type { MysqlSettings } from './mysqlSettings.js';
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

const CONNECTIONS = 4;
/** Calls that may wait for one of them; more are refused as unavailable. */
const MAX_WAITING = 200;
const CONNECT_TIMEOUT_MS = 2000;
const QUERY_TIMEOUT_MS = 5000;
const CLOSE_TIMEOUT_MS = 1000;

const SCHEMA = [
  `CREATE TABLE IF NOT EXISTS lists (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
    name VARCHAR(80) NOT NULL,
    description VARCHAR(500) NOT NULL,
    owner VARCHAR(40) NULL,
    created_at_ms BIGINT NOT NULL,
    KEY lists_by_age (created_at_ms, id)
  ) ENGINE = InnoDB, CHARACTER SET utf8mb4, COLLATE utf8mb4_bin`,
  `CREATE TABLE IF NOT EXISTS words (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
    list_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    term VARCHAR(80) NOT NULL,
    meaning VARCHAR(500) NOT NULL,
    UNIQUE KEY words_by_term (list_id, term),
    CONSTRAINT words_of_list FOREIGN KEY (list_id) REFERENCES lists (id) ON DELETE CASCADE
  ) ENGINE = InnoDB, CHARACTER SET utf8mb4, COLLATE utf8mb4_bin`,
];
const SCHEMA_LOCK = 'wordpecker.schema';

interface ListRow extends RowDataPacket {
  id: string;
  name: string;
  description: string;
  owner: string | null;
  created_at_ms: number;
}

export class MysqlStore implements WordStore {
  readonly #settings: MysqlSettings;
  readonly #outage: Outage;
  #pool: Promise<Pool> | null = null;
  #schemaReady = false;
  #closed = false;

  /** Connects at the first call. */
  constructor(settings: MysqlSettings, log: Log) {
    this.#settings = settings;
    this.#outage = new Outage(`MySQL at ${settings.host}:${settings.port}`, log);
  }

  page(limit: number, offset: number): Promise<{ lists: ListSummary[]; total: number }> {
    return this.#run(async (connection) => {
      const rows = await select<ListRow & { word_count: number }>(
        connection,
        `SELECT lists.*, (SELECT count(*) FROM words WHERE list_id = lists.id) AS word_count
         FROM lists ORDER BY created_at_ms DESC, id LIMIT ? OFFSET ?`,
        [limit, offset],
      );
      const [count] = await select<RowDataPacket & { total: number }>(
        connection,
        'SELECT count(*) AS total FROM lists',
      );
      return {
        lists: rows.map((row) => ({ ...toList(row), wordCount: row.word_count })),
        total: count?.total ?? 0,
      };
    });
  }

  find(id: string): Promise<WordList | null> {
    return this.#run((connection) => findList(connection, id));
  }

  create(list: NewList): Promise<WordList> {
    const made: WordList = { id: randomUUID(), ...list, createdAtMs: Date.now(), words: [] };
    return this.#run(async (connection) => {
      await change(
        connection,
        'INSERT INTO lists (id, name, description, owner, created_at_ms) VALUES (?, ?, ?, ?, ?)',
        [made.id, made.name, made.description, made.owner, made.createdAtMs],
      );
      return made;
    });
  }

  update(id: string, list: ListChange): Promise<WordList | null> {
    return this.#run(async (connection) => {
      await change(
        connection,
        'UPDATE lists SET name = coalesce(?, name), description = coalesce(?, description) WHERE id = ?',
        [list.name, list.description, id],
      );
      return findList(connection, id);
    });
  }

  remove(id: string): Promise<boolean> {
    return this.#run(
      async (connection) => (await change(connection, 'DELETE FROM lists WHERE id = ?', [id])) > 0,
    );
  }

  addWords(id: string, words: readonly NewWord[]): Promise<AddWordsResult> {
    return this.#run(async (connection) => {
      await connection.beginTransaction();
      const result = await addWords(connection, id, words);
      await (result.kind === 'added' ? connection.commit() : connection.rollback());
      return result;
    });
  }

  removeWord(id: string, wordId: string): Promise<boolean> {
    return this.#run(
      async (connection) =>
        (await change(connection, 'DELETE FROM words WHERE list_id = ? AND id = ?', [id, wordId])) > 0,
    );
  }

  ping(): Promise<void> {
    return this.#run(async (connection) => void (await select(connection, 'SELECT 1 FROM lists LIMIT 1')));
  }

  async close(): Promise<void> {
    this.#closed = true;
    const pool = await this.#pool;
    this.#pool = null;
    // A frozen server would never take our farewell.
    await Promise.race([pool?.end().catch(() => undefined), sleep(CLOSE_TIMEOUT_MS)]);
  }

  /** Runs `work` on a connection of its own. Nothing of a failed call stays behind on it. */
  async #run<T>(work: (connection: PoolConnection) => Promise<T>): Promise<T> {
    let connection: PoolConnection | null = null;
    try {
      if (this.#closed) throw new Error('the store is closed');
      this.#pool ??= openPool(this.#settings);
      connection = await (await this.#pool).getConnection();
      if (!this.#schemaReady) await createSchema(connection);
      this.#schemaReady = true;
      const result = await work(connection);
      connection.release();
      this.#outage.works();
      return result;
    } catch (error) {
      connection?.destroy();
      // A table that vanished (a restored or emptied database) is made again by the next call.
      if (codeOf(error) === 'ER_NO_SUCH_TABLE') this.#schemaReady = false;
      this.#outage.failed(error);
      throw storeUnavailable(error);
    }
  }
}

async function openPool(settings: MysqlSettings): Promise<Pool> {
  // Loaded when first needed: a service on SQLite never pays for it.
  const { createPool } = await import('mysql2/promise');
  return createPool({
    ...settings,
    charset: 'utf8mb4_bin',
    connectionLimit: CONNECTIONS,
    queueLimit: MAX_WAITING,
    connectTimeout: CONNECT_TIMEOUT_MS,
    supportBigNumbers: true,
  });
}

async function createSchema(connection: PoolConnection): Promise<void> {
  await select(connection, 'SELECT GET_LOCK(?, 4)', [SCHEMA_LOCK]);
  for (const statement of SCHEMA) await change(connection, statement);
  await select(connection, 'SELECT RELEASE_LOCK(?)', [SCHEMA_LOCK]);
}

async function select<T extends RowDataPacket>(
  connection: PoolConnection,
  sql: string,
  values: readonly unknown[] = [],
): Promise<T[]> {
  const [rows] = await connection.query<T[]>({ sql, values: [...values], timeout: QUERY_TIMEOUT_MS });
  return rows;
}

async function change(
  connection: PoolConnection,
  sql: string,
  values: readonly (string | number | null)[] = [],
): Promise<number> {
  const [result] = await connection.query<ResultSetHeader>({
    sql,
    values: [...values],
    timeout: QUERY_TIMEOUT_MS,
  });
  return result.affectedRows;
}

async function findList(connection: PoolConnection, id: string): Promise<WordList | null> {
  const [row] = await select<ListRow>(connection, 'SELECT * FROM lists WHERE id = ?', [id]);
  if (row === undefined) return null;
  const words = await select<RowDataPacket & Word>(
    connection,
    'SELECT id, term, meaning FROM words WHERE list_id = ? ORDER BY term',
    [id],
  );
  return {
    ...toList(row),
    words: words.map(({ id: wordId, term, meaning }) => ({ id: wordId, term, meaning })),
  };
}

async function addWords(
  connection: PoolConnection,
  id: string,
  words: readonly NewWord[],
): Promise<AddWordsResult> {
  // The row lock makes other instances wait, so that what is counted below is still true at the commit.
  const locked = await select(connection, 'SELECT id FROM lists WHERE id = ? FOR UPDATE', [id]);
  if (locked.length === 0) return { kind: 'no-such-list' };
  for (const { term, meaning } of words) {
    await change(
      connection,
      'INSERT INTO words (id, list_id, term, meaning) VALUES (?, ?, ?, ?) ON DUPLICATE KEY UPDATE meaning = VALUES(meaning)',
      [randomUUID(), id, term, meaning],
    );
  }
  const list = await findList(connection, id);
  if (list === null) return { kind: 'no-such-list' };
  return list.words.length > MAX_WORDS_PER_LIST ? { kind: 'too-many' } : { kind: 'added', list };
}

function toList(row: ListRow): Omit<WordList, 'words'> {
  const { id, name, description, owner, created_at_ms: createdAtMs } = row;
  return { id, name, description, owner, createdAtMs };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
