import { fileURLToPath } from 'node:url';
import type { EnvReader } from '../lib/env.js';
import { MysqlStore } from './mysqlStore.js';
import { SqliteStore } from './sqliteStore.js';
import type { Log } from '../lib/log.js';
import type { WordStore } from './wordStore.js';

const DEFAULT_FILE = fileURLToPath(new URL('../../../../data/wordpecker.db', import.meta.url));

/**
 * MySQL when MYSQL_HOST is set (MYSQL_PORT 3306, MYSQL_USER, MYSQL_PASSWORD, MYSQL_DATABASE `wordpecker`), else
 * the SQLite file WORDPECKER_DB (data/wordpecker.db under the project). Connects at the first use.
 * Puts what is wrong into the reader's problems.
 */
export function openStore(reader: EnvReader, log: Log): WordStore {
  const host = reader.text('MYSQL_HOST');
  if (host === null) return new SqliteStore(reader.text('WORDPECKER_DB') ?? DEFAULT_FILE, log);
  const port = reader.integer('MYSQL_PORT', 3306, 1, 65_535);
  const user = reader.text('MYSQL_USER');
  if (user === null) reader.problem('MYSQL_USER is not set, but MYSQL_HOST is: give the user to connect as');
  const settings = {
    host,
    port,
    user: user ?? '',
    password: reader.exact('MYSQL_PASSWORD'),
    database: reader.text('MYSQL_DATABASE') ?? 'wordpecker',
  };
  return new MysqlStore(settings, log);
}
