/** How a process of Holdfast starts and leaves: its exit code is all that PM2 goes by. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { repository } from '../../support/deployment.js';
import { cleanEnv } from '../../support/pm2.js';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-start-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Starts a process whose `run` has this body. */
function start(
  body: string,
  env: Readonly<Record<string, string>> = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const start = JSON.stringify(join(repository, 'backend/dist/startProcess.js'));
  const errors = JSON.stringify(join(repository, 'backend/dist/domain/errors.js'));
  const program = join(folder, 'program.mjs');
  writeFileSync(
    program,
    `import { startProcess, StartProblem } from ${start};
    import { HoldfastError } from ${errors};
    void startProcess({ name: 'gateway', root: ${JSON.stringify(folder)}, run: async (config, logger) => { ${body} } });`,
  );
  const child = spawn(process.execPath, [program], {
    env: cleanEnv({ HA_LOG_DIR: join(folder, 'logs'), ...env }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })));
}

const lastLine = (): Record<string, unknown> =>
  JSON.parse(readFileSync(join(folder, 'logs/ha-gateway.log'), 'utf8').trim().split('\n').at(-1) ?? '{}');

it.each([
  ['thrown', `setTimeout(() => { throw new Error('a bug'); }, 1);`],
  ['a rejection nobody handles', `setTimeout(() => void Promise.reject(new Error('a bug')), 1);`],
])('a bug (%s) is in the log with its stack, and PM2 starts it again', async (_how, body) => {
  expect(await start(body)).toEqual({ code: 1, stdout: '', stderr: '' });
  expect(lastLine()).toMatchObject({ level: 'error', message: 'the gateway hit a bug and restarts' });
  expect(lastLine()['stack']).toContain('program.mjs');
});

it.each([
  ['needs a person', `throw new StartProblem('no service is defined');`, 78],
  ['is a refusal that stays', `throw new HoldfastError('x.y', 'no service is defined');`, 78],
  ['may pass', `throw new HoldfastError('x.y', 'no service is defined', { retryable: true });`, 1],
])('a start that fails and %s is told on stderr and in the log', async (_how, body, code) => {
  expect(await start(body)).toEqual({
    code,
    stdout: '',
    stderr: 'The gateway cannot start. no service is defined\n',
  });
  expect(lastLine()).toMatchObject({ message: 'the gateway cannot start', problem: 'no service is defined' });
});

it('a wrong setting ends it before there is a log, each with its name', async () => {
  const { code, stdout, stderr } = await start('', { BALANCER_PORT: 'http', MAX_INSTANCES: '0' });
  expect([code, stdout]).toEqual([78, '']);
  expect(stderr).toContain('BALANCER_PORT');
  expect(stderr).toContain('MAX_INSTANCES');
});
