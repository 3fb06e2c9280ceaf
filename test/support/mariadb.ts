import { execFile } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { createConnection } from 'mysql2/promise';
import { canRun, PrivateServer, requireBinary } from './privateServer.js';

export const mariadbAvailable = canRun('mariadb-server', ['mariadbd', 'mariadb-install-db']);

export interface MariadbLogin {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

export type Mariadb = PrivateServer & { readonly login: MariadbLogin };

/** A running MariaDB of the test's own with an empty database and a user for it; `dispose` ends it. */
export async function startMariadb(): Promise<Mariadb> {
  const user = os.userInfo().username;
  const server = await PrivateServer.prepare({
    name: 'mariadb',
    binary: requireBinary('mariadbd', 'mariadb-server'),
    args: (folder, port) => [
      ...['--no-defaults', `--user=${user}`, `--datadir=${path.join(folder, 'data')}`],
      ...[`--socket=${path.join(folder, 's')}`, `--port=${port}`, '--bind-address=127.0.0.1'],
      ...[`--pid-file=${path.join(folder, 'pid')}`, '--skip-log-bin', '--skip-name-resolve'],
      ...['--innodb-buffer-pool-size=16M', '--innodb-log-file-size=8M', '--innodb-flush-log-at-trx-commit=2'],
    ],
    ready: async (folder) => {
      await asRoot(folder, ['SELECT 1']);
    },
  });
  const login = { host: '127.0.0.1', port: server.port, user: 'wp', password: 'wp-secret', database: 'wp' };
  try {
    await promisify(execFile)(requireBinary('mariadb-install-db', 'mariadb-server'), [
      ...['--no-defaults', `--user=${user}`, `--datadir=${path.join(server.folder, 'data')}`],
      ...['--auth-root-authentication-method=normal', '--skip-test-db'],
    ]);
    await server.start();
    await asRoot(server.folder, [
      `CREATE DATABASE ${login.database} CHARACTER SET utf8mb4`,
      `CREATE USER '${login.user}'@'127.0.0.1' IDENTIFIED BY '${login.password}'`,
      `GRANT ALL ON ${login.database}.* TO '${login.user}'@'127.0.0.1'`,
    ]);
  } catch (error) {
    await server.dispose();
    throw error;
  }
  return Object.assign(server, { login });
}

/** What the sample services read to use it. */
export function mysqlEnvironment(login: MariadbLogin): Record<string, string> {
  return {
    MYSQL_HOST: login.host,
    MYSQL_PORT: String(login.port),
    MYSQL_USER: login.user,
    MYSQL_PASSWORD: login.password,
    MYSQL_DATABASE: login.database,
  };
}

async function asRoot(folder: string, statements: readonly string[]): Promise<void> {
  const connection = await createConnection({ socketPath: path.join(folder, 's'), user: 'root' });
  try {
    for (const statement of statements) await connection.query(statement);
  } finally {
    connection.destroy();
  }
}
