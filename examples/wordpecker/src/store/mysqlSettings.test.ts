import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { EnvReader } from '../lib/env.js';
import { readMysqlSettings, runsInContainer } from './mysqlSettings.js';

const DEFAULTS = { host: '127.0.0.1', port: 13_306, user: 'root', password: '', database: 'kiro_api' };

describe('which MySQL', () => {
  it.each([
    [{}, null],
    [{ MYSQL_HOST: '', MYSQL_PORT: ' ' }, null],
    [{ MYSQL_HOST: 'db' }, { ...DEFAULTS, host: 'db' }],
    [{ MYSQL_PORT: '3306' }, { ...DEFAULTS, port: 3306 }],
    [{ MYSQL_USER: 'ana' }, { ...DEFAULTS, user: 'ana' }],
    [{ MYSQL_PASSWORD: ' x ' }, { ...DEFAULTS, password: ' x ' }],
    [{ MYSQL_DATABASE: 'words' }, { ...DEFAULTS, database: 'words' }],
  ])('%j', (env, expected) => {
    expect(readMysqlSettings(new EnvReader(env), false)).toEqual(expected);
  });

  it('is that of the machine around a container', () => {
    const hostOf = (env: Record<string, string>) => readMysqlSettings(new EnvReader(env), true)?.host;
    expect(hostOf({ MYSQL_DATABASE: 'words' })).toBe('host.docker.internal');
    expect(hostOf({ MYSQL_HOST: '127.0.0.1' })).toBe('127.0.0.1');
    expect(hostOf({})).toBeUndefined();
  });

  it('is refused with a port that is none', () => {
    const reader = new EnvReader({ MYSQL_PORT: 'mysql' });
    readMysqlSettings(reader, false);
    expect(() => reader.finish()).toThrow('MYSQL_PORT is "mysql": give a whole number from 1 to 65535');
  });
});

describe('a container', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'wordpecker-container-'));
  afterAll(() => fs.rmSync(folder, { recursive: true }));

  it.each([
    ['.dockerenv', '', true],
    ['run/.containerenv', '', true],
    ['proc/1/cgroup', '0::/kubepods/besteffort/pod1', true],
    ['proc/1/cgroup', '12:cpu:/docker/0123abc', true],
    ['proc/1/cgroup', '0::/init.scope', false],
    ['etc/hostname', 'docker', false],
  ])('%s %j: %j', (file, text, expected) => {
    const root = fs.mkdtempSync(path.join(folder, 'root-'));
    fs.mkdirSync(path.join(root, path.dirname(file)), { recursive: true });
    fs.writeFileSync(path.join(root, file), text);
    expect(runsInContainer(`${root}/`)).toBe(expected);
  });
});
