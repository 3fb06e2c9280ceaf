import { fileURLToPath } from 'node:url';
import type { EnvReader } from '../lib/env.js';
import { readMysqlSettings } from './mysqlSettings.js';
import { MysqlStore } from './mysqlStore.js';
import { SqliteStore } from './sqliteStore.js';
import type { Log } from '../lib/log.js';
import type { WordStore } from './wordStore.js';

const DEFAULT_FILE = fileURLToPath(new URL('../../../../data/wordpecker.db', import.meta.url));

/**
 * MySQL when it is asked for (mysqlSettings.ts), else the SQLite file WORDPECKER_DB (data/wordpecker.db under the
 * project). Connects at the first use. Puts what is wrong into the reader's problems.
 */
export function openStore(reader: EnvReader, log: Log): WordStore {
  const mysql = readMysqlSettings(reader);
  if (mysql === null) return new SqliteStore(reader.text('WORDPECKER_DB') ?? DEFAULT_FILE, log);
  const { host, port, user, database } = mysql;
  log.info('word lists are kept in MySQL', { host, port, user, database });
  return new MysqlStore(mysql, log);
}
