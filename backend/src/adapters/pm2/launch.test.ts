import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { baseEnvironment, definitionFromRecord, launchRecord } from './launch.js';

const running = {
  name: 'web',
  namespace: 'default',
  pm_id: 3,
  pm_uptime: 1_000,
  created_at: 900,
  restart_time: 2,
  unstable_restarts: 1,
  prev_restart_delay: 300,
  exit_code: 1,
  status: 'online',
  unique_id: 'f00',
  instances: 4,
  axm_monitor: { load: 1 },
  versioning: { revision: 'abc' },
  node_version: '20.20.2',
  vizion_running: true,
  exec_mode: 'cluster_mode',
  exec_interpreter: 'node',
  pm_exec_path: '/srv/web/app.js',
  pm_cwd: '/srv/web',
  node_args: ['--enable-source-maps'],
  args: ['--x'],
  pm_out_log_path: '/srv/web/out-3.log',
  pm_err_log_path: '/srv/web/err-3.log',
  pm_pid_path: '/home/me/.pm2/pids/web-3.pid',
  kill_timeout: 4_000,
  instance_var: 'INSTANCE',
  increment_var: 'PORT',
  INSTANCE: 7,
  PORT: 3_003,
  max_memory_restart: 1_000_000,
  env: { PORT: 3_003, DB: 'postgres://…', unique_id: 'f00', INSTANCE: 7, pm_id: 3, web: '{}', name: 'web' },
};

describe('baseEnvironment', () => {
  it('keeps what every process needs and nothing that belongs to the supervisor', () => {
    const source = {
      PATH: '/bin',
      LC_ALL: 'C',
      TZ: 'UTC',
      HA_API_TOKEN: 'x',
      PORT: '1',
      NODE_APP_INSTANCE: '0',
    };
    const env = baseEnvironment({ ...source, HOME: '/home/me' });
    const path = `/bin:${dirname(process.execPath)}`;
    expect(env).toEqual({ PATH: path, LC_ALL: 'C', TZ: 'UTC', HOME: '/home/me' });
    expect(baseEnvironment({ PATH: path })['PATH']).toBe(path);
  });
});

describe('a clone of a running instance', () => {
  const definition = definitionFromRecord(running);
  if (definition === null) throw new Error('the record has all it takes');
  const record = launchRecord(definition, {
    pm2Home: '/home/me/.pm2',
    port: 3_001,
    instanceNumber: 1,
    killTimeoutMs: 2_000,
  });

  it('runs the same program with the same settings', () => {
    expect(record).toMatchObject({
      name: 'web',
      pm_exec_path: '/srv/web/app.js',
      pm_cwd: '/srv/web',
      exec_mode: 'cluster_mode',
      node_args: ['--enable-source-maps'],
      args: ['--x'],
      kill_timeout: 4_000,
      increment_var: 'PORT',
      max_memory_restart: 1_000_000,
      autostart: true,
      INSTANCE: 1,
    });
    expect(record['env']).toMatchObject({ DB: 'postgres://…', PORT: '3001', PM2_HOME: '/home/me/.pm2' });
  });

  it('takes over nothing that belongs to the other process', () => {
    const own = [
      'pm_id',
      'pm_uptime',
      'created_at',
      'restart_time',
      'unstable_restarts',
      'prev_restart_delay',
    ];
    const more = [
      'exit_code',
      'status',
      'unique_id',
      'instances',
      'axm_monitor',
      'versioning',
      'vizion_running',
    ];
    for (const key of [...own, ...more]) expect(record).not.toHaveProperty(key);
    for (const key of ['unique_id', 'INSTANCE', 'pm_id', 'web', 'name'])
      expect(record['env']).not.toHaveProperty(key);
  });

  it('is impossible from a record without a program', () => {
    expect(definitionFromRecord({ ...running, pm_exec_path: undefined })).toBeNull();
  });
});

describe('launchRecord', () => {
  it('never promises less time to end than either side asked for', () => {
    const definition = definitionFromRecord(running);
    if (definition === null) throw new Error('the record has all it takes');
    const options = { pm2Home: '/p', port: null, instanceNumber: 0, killTimeoutMs: 9_000 };
    expect(launchRecord(definition, options)['kill_timeout']).toBe(9_000);
  });
});
