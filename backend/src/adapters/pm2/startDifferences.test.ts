import { describe, expect, it } from 'vitest';
import { definitionOfRecord } from './appDefinition.js';
import { startDifferences } from './startDifferences.js';

/** What PM2's own code makes of an application, and what the daemon then lists of it. */
const record = {
  name: 'web',
  pm_exec_path: '/srv/app.js',
  pm_cwd: '/srv',
  exec_interpreter: 'node',
  exec_mode: 'fork_mode',
  args: ['--x'],
  node_args: [],
  pm_out_log_path: '/logs/web-out.log',
  pm_err_log_path: '/logs/web-error.log',
  pm_pid_path: '/pids/web.pid',
  env: { DB: 'postgres://secret', PATH: '/bin', HOME: '/root' },
};
const listed = {
  ...record,
  pm_out_log_path: '/logs/web-out-3.log',
  pm_id: 3,
  env: {
    ...record.env,
    PATH: '/other',
    PM2_USAGE: 'CLI',
    unique_id: 'f00',
    web: '{}',
    PORT: 3_000,
    SSH_TTY: '1',
  },
};

function differences(changes: object, running: object = listed): readonly string[] {
  const planned = definitionOfRecord({ ...record, ...changes });
  if (planned === null) throw new Error('the record has all it takes');
  return startDifferences(planned, { ...listed, ...running }, () => false);
}

describe('startDifferences', () => {
  it('finds none between the first instance and what the file says', () => {
    expect(differences({})).toEqual([]);
  });

  it.each<[change: object, clause: string]>([
    [{ pm_exec_path: '/srv/2/app.js' }, 'script would be "/srv/2/app.js", not "/srv/app.js"'],
    [{ exec_interpreter: 'bun' }, 'interpreter would be "bun", not "node"'],
    [{ args: ['--x', '--y'] }, 'args would be ["--x","--y"], not ["--x"]'],
    [{ node_args: ['--inspect'] }, 'node_args would be ["--inspect"], not []'],
    [{ pm_cwd: '/tmp' }, 'cwd would be "/tmp", not "/srv"'],
    [{ exec_mode: 'cluster_mode' }, 'exec_mode would be "cluster", not "fork"'],
    [{ uid: 1_000 }, 'uid would be 1000, not null'],
    [{ gid: 1_000 }, 'gid would be 1000, not null'],
    [{ pm_err_log_path: '/dev/null' }, 'error_file would be "/dev/null", not "/logs/web-error.log"'],
    [
      { env: { PATH: '/bin', HOME: '/root' } },
      'it would not have the variable DB, which the file does not give it',
    ],
    [{ env: { ...record.env, A: '1', B: '2' } }, 'it would also have the variables A, B'],
    [
      { env: { ...record.env, DB: 'mysql://secret', HOME: '/home/x' } },
      'it would have another value of the variables DB, HOME',
    ],
  ])('says of %j what differs, and no value of a variable', (change, clause) => {
    expect(differences(change)).toEqual([clause]);
  });
});
