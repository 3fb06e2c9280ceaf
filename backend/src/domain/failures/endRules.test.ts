import { describe, expect, it } from 'vitest';
import { judgeRun, RESTARTED } from './endRules.js';

const JOB = { ...RESTARTED, autorestart: false };

describe('judgeRun', () => {
  it.each([
    ['a service that left with 0', RESTARTED, 0, null, null],
    ['a service that crashed', RESTARTED, 1, null, null],
    ['one of its stop_exit_codes', { ...RESTARTED, stopExitCodes: [0, 78] }, 78, null, 'finished'],
    ['another exit code', { ...RESTARTED, stopExitCodes: [0, 78] }, 1, null, null],
    ['a kill, which PM2 takes for exit code 0', { ...RESTARTED, stopExitCodes: [0] }, 0, 'SIGKILL', null],
    ['a job that left with 0', JOB, 0, null, 'finished'],
    ['a job that left with 1', JOB, 1, null, 'failed'],
    ['a job that was killed', JOB, null, 'SIGKILL', 'failed'],
    ['a job of which no exit code is known', JOB, null, null, 'failed'],
    ['a job with a code that is meant', { ...JOB, stopExitCodes: [2] }, 2, null, 'finished'],
  ] as const)('%s', (_, rules, exitCode, signal, run) => {
    expect(judgeRun(rules, { exitCode, signal })).toBe(run);
  });
});
