import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseList } from './processRow.js';

const record = {
  name: 'web',
  pm_id: 3,
  pm_uptime: 1_000,
  created_at: 900,
  status: 'online',
  exec_mode: 'cluster_mode',
  restart_time: 2,
  PORT: 3_001,
};

describe('parseList', () => {
  it('reads a row', () => {
    const [row] = parseList([{ pid: 4711, name: 'web', pm_id: 3, pm2_env: record }]);
    expect(row?.process).toEqual({
      service: 'web',
      pmId: 3,
      startedAtMs: 1_000,
      pid: 4711,
      port: 3_001,
      status: 'online',
      mode: 'cluster',
      restarts: 2,
      createdAtMs: 900,
      killTimeoutMs: 1_600,
    });
  });

  it.each([
    ['a pid that PM2 did not clear', { status: 'waiting restart' }, { pid: null }],
    ['a status it does not know', { status: 'new in PM2 9' }, { status: 'errored', pid: null }],
    ['a port as text', { PORT: '3002' }, { port: 3_002 }],
    ['a port only in the environment', { PORT: undefined, env: { PORT: 3_003 } }, { port: 3_003 }],
    ['a port that is none', { PORT: '/run/web.sock' }, { port: null }],
    ['the time that it has to stop', { kill_timeout: 60_000 }, { killTimeoutMs: 60_000 }],
    ['no creation time', { created_at: null }, { createdAtMs: 1_000 }],
  ])('reads %s', (_name, fields, expected) => {
    const [row] = parseList([{ pid: 4711, pm2_env: { ...record, ...fields } }]);
    expect(row?.process).toMatchObject(expected);
  });

  it('reports no process where the pid is 0 or missing', () => {
    const rows = parseList([{ pid: 0, pm2_env: record }, { pm2_env: record }]);
    expect(rows.map((row) => row.process.pid)).toEqual([null, null]);
  });

  it('leaves out what is no process and never throws anything but pm2.bad-answer', () => {
    expect(parseList([null, 3, {}, { pm2_env: {} }, { pm2_env: { name: 'web' } }])).toEqual([]);
    fc.assert(
      fc.property(fc.jsonValue(), (answer) => {
        try {
          parseList(answer);
        } catch (error) {
          expect(error).toMatchObject({ code: 'pm2.bad-answer' });
        }
      }),
    );
  });
});
