import { expect, it } from 'vitest';
import { HoldfastError } from './domain/errors.js';
import { exitCodeFor, StartProblem } from './startProcess.js';

it.each([
  ['a problem of the start', new StartProblem('no service is defined'), 78],
  ['a problem of the start that may pass', new StartProblem('Port 3000 is taken.', true), 1],
  ['a refusal that stays', new HoldfastError('port.forbidden', 'Port 80 is not allowed.'), 78],
  [
    'one that another try may get over',
    new HoldfastError('supervisor.locked', 'wait', { retryable: true }),
    1,
  ],
  ['an error of the system', Object.assign(new Error('no space left'), { code: 'ENOSPC' }), 1],
  ['anything else that was thrown', 'a text', 1],
])('leaves after %s with the code that tells PM2 what to do', (_what, thrown, code) => {
  expect(exitCodeFor(thrown)).toBe(code);
});
