import { describe, expect, it } from 'vitest';
import { instanceOf } from './strays.js';

const home = '/home/me/.pm2';
const pidPath = `${home}/pids/web-3.pid`;
const fork = {
  name: 'web',
  pm_id: '3',
  PM2_HOME: home,
  pm_pid_path: pidPath,
  PORT: '3001',
  NODE_CHANNEL_FD: '3',
  namespace: 'a',
  pm_cwd: '/srv',
};
const record = { name: 'web', pm_id: 3, pm_pid_path: pidPath, PORT: 3001, namespace: 'a', pm_cwd: '/srv' };
const cluster = { pm2_env: JSON.stringify(record), NODE_UNIQUE_ID: '1', NODE_CHANNEL_FD: '3' };
const application = { namespace: 'a', script: '', cwd: '/srv' };
const web = { service: 'web', application, port: 3001 };

describe('instanceOf', () => {
  it('knows a fork instance and a cluster worker of the home', () => {
    expect(instanceOf(fork, true, home)).toEqual(web);
    expect(instanceOf(cluster, false, home)).toEqual(web);
    expect(instanceOf({ ...fork, PM2_HOME: '', PORT: '' }, true, home)).toEqual({
      ...web,
      port: null,
    });
  });

  it.each([
    ['a child of a fork instance', { ...fork, NODE_CHANNEL_FD: undefined }, true],
    ['a forked child of a fork instance', fork, false],
    ['a child of a cluster worker', { ...record, pm_id: '3', PORT: '3001', NODE_UNIQUE_ID: '1' }, false],
    ['an instance of another home', { ...fork, PM2_HOME: '/x', pm_pid_path: '/x/pids/web-3.pid' }, true],
    ['a home whose name begins alike', { ...fork, PM2_HOME: '', pm_pid_path: `${home}/pids2/web.pid` }, true],
    ['anything else', { PATH: '/bin' }, true],
    ['a broken record', { pm2_env: '{"name":' }, false],
  ])('does not take %s for one', (_name, environ, leadsSession) => {
    const entries = Object.entries(environ).filter(([, value]) => value !== undefined);
    expect(instanceOf(Object.fromEntries(entries) as Record<string, string>, leadsSession, home)).toBeNull();
  });
});
