import { spawn } from 'node:child_process';
import { afterEach, describe, expect, test } from 'vitest';
import { waitFor } from '../../../../test/support/waitFor.js';
import { processStates } from './processStates.js';

let child: ReturnType<typeof spawn> | undefined;
afterEach(() => child?.kill('SIGKILL'));

describe.runIf(process.platform === 'linux')('processStates', () => {
  test('tells a stopped process from one that runs, and from one that is gone', async () => {
    child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    const pid = child.pid!;
    expect(processStates.stateOf(pid)).toBe('running');
    child.kill('SIGSTOP');
    await waitFor(() => processStates.stateOf(pid) === 'stopped', { what: 'it to be stopped' });
    child.kill('SIGCONT');
    await waitFor(() => processStates.stateOf(pid) === 'running', { what: 'it to go on' });
    const ended = new Promise((resolve) => child!.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    expect(processStates.stateOf(pid)).toBeNull();
  });
});
