import { expect, it } from 'vitest';
import { agentFigures } from '../../../../test/support/agentFigures.js';
import { findings, stackText } from './blackBoxText.js';

const hang = {
  hang: 1,
  silentMs: 1_004,
  where: 'javascript',
  stack: ['spin (/app/a.js:3:1)', 'handle (/app/a.js:9:5)'],
  detail: 'blocked for 1.0 s in spin (/app/a.js:3:1)',
  requests: [{ method: 'GET', path: '/spin', ageMs: 1_240 }],
} as const;

it('a stack reads as Node.js prints one, with the requests that it was busy with', () => {
  expect(stackText(hang, 'api pm 3 (pid 7, port 13004), now')?.split('\n')).toEqual([
    'api pm 3 (pid 7, port 13004), now',
    'blocked for 1.0 s in spin (/app/a.js:3:1)',
    '',
    '    at spin (/app/a.js:3:1)',
    '    at handle (/app/a.js:9:5)',
    '',
    'Requests that it was busy with, oldest first:',
    '    GET /spin, for 1.2 s',
  ]);
});

it('native code without a request has no stack to show', () => {
  expect(stackText({ ...hang, stack: [], requests: [] }, 'x')).toBeNull();
  expect(stackText({ ...hang, stack: [] }, 'x')).toContain('GET /spin');
});

it('findings name a full heap, waiting requests, a debugger, and what stderr says', () => {
  const figures = agentFigures({
    heapUsedBytes: 480 * 1024 ** 2,
    heapLimitBytes: 512 * 1024 ** 2,
    unanswered: 3,
    oldestUnansweredMs: 5_200,
    debugged: true,
  });
  const stderr = 'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory';
  expect(findings({ hasAgent: true, last: { figures, ageMs: 250 }, stderr, ended: true })).toEqual([
    'the JavaScript heap had 480 MB of its limit of 512 MB in use 0.3 s before',
    '3 requests without an answer 0.3 s before, the oldest for 5.2 s',
    'a debugger was or could have been attached',
    'stderr says that the JavaScript heap ran out of memory',
  ]);
});

it('a healthy process has nothing to say, and one without an agent says so', () => {
  const last = { figures: agentFigures(), ageMs: 0 };
  expect(findings({ hasAgent: true, last, stderr: 'Error: x', ended: false })).toEqual([]);
  expect(findings({ hasAgent: true, last: null, stderr: null, ended: true })).toEqual([]);
  expect(findings({ hasAgent: false, last: null, stderr: null, ended: true })).toEqual([
    'no agent was connected: its figures are what was seen from outside',
  ]);
});

it.each([
  [
    'an uncaught error',
    'listening\n/app/a.js:3\n  x();\n  ^\n\nTypeError: x is not a function\n    at f (/app/a.js:3:1)\n\nNode.js v20',
    'TypeError: x is not a function',
  ],
  ['a plain one', 'Error: gone', 'Error: gone'],
  ['the last of several', 'Error: first\nRangeError: second\n', 'RangeError: second'],
  ['one of another library', 'DatabaseError [X12]: gone', 'DatabaseError [X12]: gone'],
])('what it said last: %s', (_what, stderr, expected) => {
  expect(findings({ hasAgent: true, last: null, stderr, ended: true })).toEqual([
    `the last error on stderr: ${expected}`,
  ]);
});

it('what it said long ago, or that is no error, is not why', () => {
  const old = `Error: old\n${'line\n'.repeat(50)}`;
  for (const stderr of [old, 'no Error here', 'errors: 0', '']) {
    expect(findings({ hasAgent: true, last: null, stderr, ended: true })).toEqual([]);
  }
});
