/**
 * Which MySQL is meant. Setting any of MYSQL_HOST, MYSQL_PORT, MYSQL_USER, MYSQL_PASSWORD and MYSQL_DATABASE asks for
 * MySQL; those that are not set have the defaults below.
 */
import fs from 'node:fs';
import type { EnvReader } from '../lib/env.js';

export interface MysqlSettings {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

const NAMES = ['MYSQL_HOST', 'MYSQL_PORT', 'MYSQL_USER', 'MYSQL_PASSWORD', 'MYSQL_DATABASE'];

/** The machine that the container runs on, as Docker calls it. */
const HOST_OF_CONTAINERS = 'host.docker.internal';

/** null: MySQL is not asked for. Puts what is wrong into the reader's problems. */
export function readMysqlSettings(reader: EnvReader, isContainer = runsInContainer()): MysqlSettings | null {
  if (NAMES.every((name) => reader.exact(name).trim() === '')) return null;
  return {
    host: reader.text('MYSQL_HOST') ?? (isContainer ? HOST_OF_CONTAINERS : '127.0.0.1'),
    port: reader.integer('MYSQL_PORT', 13_306, 1, 65_535),
    user: reader.text('MYSQL_USER') ?? 'root',
    password: reader.exact('MYSQL_PASSWORD'),
    database: reader.text('MYSQL_DATABASE') ?? 'kiro_api',
  };
}

/** What Docker and Podman leave at the root of every container, and what the kernel says of one on Kubernetes. */
export function runsInContainer(root = '/'): boolean {
  if (['.dockerenv', 'run/.containerenv'].some((file) => fs.existsSync(`${root}${file}`))) return true;
  try {
    return /\b(docker|containerd|kubepods|libpod|lxc)\b/.test(
      fs.readFileSync(`${root}proc/1/cgroup`, 'utf8'),
    );
  } catch {
    return false;
  }
}
