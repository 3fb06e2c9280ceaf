import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { endRulesOf, instanceNumberFor, parseList } from './processRow.js';

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
      endRules: { autorestart: true, stopExitCodes: [], schedule: null },
    });
  });

  it.each([
    ['a pid that PM2 did not clear', { status: 'waiting restart' }, { pid: null }],
    ['a status it does not know', { status: 'new in PM2 9' }, { status: 'errored', pid: null }],
    ['a port as text', { PORT: '3002' }, { port: 3_002 }],
    ['a port only in the environment', { PORT: undefined, env: { PORT: 3_003 } }, { port: 3_003 }],
    ['a port that is none', { PORT: '/run/web.sock' }, { port: null }],
    ['the time that it has to stop', { kill_timeout: 60_000 }, { killTimeoutMs: 60_000 }],
    [
      'what PM2 does at its end',
      { autorestart: 'false', stop_exit_codes: 3, cron_restart: '0 3 * * *' },
      { endRules: { autorestart: false, stopExitCodes: [3], schedule: '0 3 * * *' } },
    ],
    [
      'exit codes as a list, and as text',
      { stop_exit_codes: ['0', 78] },
      { endRules: { stopExitCodes: [0, 78] } },
    ],
    ['no schedule', { cron_restart: 0 }, { endRules: { schedule: null } }],
    ['how the last process ended', { exit_code: 3 }, { lastExitCode: 3 }],
    ['no creation time', { created_at: null }, { createdAtMs: 1_000 }],
  ])('reads %s', (_name, fields, expected) => {
    const [row] = parseList([{ pid: 4711, pm2_env: { ...record, ...fields } }]);
    expect(row?.process).toMatchObject(expected);
  });

  it('reports no process where the pid is 0 or missing', () => {
    const rows = parseList([{ pid: 0, pm2_env: record }, { pm2_env: record }]);
    expect(rows.map((row) => row.process.pid)).toEqual([null, null]);
  });

  it('knows what PM2 leaves down though it says that it waits, because of a restart_delay', () => {
    const waiting = { ...record, status: 'waiting restart', restart_delay: 5_000, autorestart: false };
    const [row] = parseList([{ pid: 0, pm2_env: waiting }]);
    expect(row?.process).toMatchObject({ status: 'stopped', pid: null });
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

describe('instanceNumberFor', () => {
  const rowsOf = (...numbers: readonly (number | null)[]) =>
    parseList(
      numbers.map((number, pm_id) => ({
        pid: 100 + pm_id,
        pm2_env: { ...record, pm_id, ...(number === null ? {} : { NODE_APP_INSTANCE: number }) },
      })),
    );
  it.each([
    ['the first', [], null, 0],
    ['one more: the lowest that is free', [0, 2], null, 1],
    ['a replacement: that of the one it replaces', [0, 1], 0, 0],
    ['a replacement whose number another one has already', [0, 1, 0], 1, 1],
    ['the next one, where the first replacement has the number of one that still runs', [0, 1, 0], 0, 2],
    ['a replacement of one without a number', [null, 0], 0, 1],
  ] as const)('gives %s', (_, numbers, replaces, expected) => {
    expect(instanceNumberFor(rowsOf(...numbers), 'web', replaces)).toBe(expected);
  });
});

it.each([
  [{ autostart: false }, false],
  [{ autostart: 'false' }, false],
  [{ autostart: true }, undefined],
  [{}, undefined],
])('reads from %j whether PM2 was told not to start it', (record, autostart) => {
  expect(endRulesOf(record).autostart).toBe(autostart);
});
