/** The error that ended an application, out of what Node.js, PM2 and loggers write. */
import { expect, it } from 'vitest';
import { fatalErrorIn, tellingLines } from './fatalError.js';

it.each<[what: string, log: string, expected: ReturnType<typeof fatalErrorIn>]>([
  [
    'an uncaught error',
    'listening\n/app/a.js:3\n  x();\n  ^\n\nTypeError: x is not a function\n    at f (/app/a.js:3:1)\n    at node:internal/main:1:1\n\nNode.js v20',
    { headline: 'TypeError: x is not a function', at: '/app/a.js:3:1' },
  ],
  [
    'a missing module',
    "node:internal/modules/cjs/loader:1210\n  throw err;\n  ^\n\nError: Cannot find module 'express'\nRequire stack:\n- /srv/server.js\n    at Module._resolveFilename (node:internal/modules/cjs/loader:1207:15)\n    at Object.<anonymous> (/srv/server.js:1:17) {\n  code: 'MODULE_NOT_FOUND',\n  requireStack: [ '/srv/server.js' ]\n}",
    { headline: "Error: Cannot find module 'express'", at: '/srv/server.js:1:17' },
  ],
  [
    'a syntax error, whose place stands above it',
    "/srv/server.js:2\nconst = 3;\n      ^\n\nSyntaxError: Unexpected token '='\n    at wrapSafe (node:internal/modules/cjs/loader:1464:18)",
    { headline: "SyntaxError: Unexpected token '='", at: '/srv/server.js:2' },
  ],
  [
    'a frame of an ES module',
    'file:///srv/a.mjs:1\nawait x\n^\nReferenceError: x is not defined\n    at file:///srv/a.mjs:1:1',
    { headline: 'ReferenceError: x is not defined', at: '/srv/a.mjs:1:1' },
  ],
  [
    'a frame of PM2 is not the place',
    'Error: gone\n    at exec (/x/node_modules/pm2/lib/ProcessContainer.js:300:12)\n    at go (/srv/a.js:7:2)',
    { headline: 'Error: gone', at: '/srv/a.js:7:2' },
  ],
  [
    'an error with a cause',
    'Error: cannot start\n    at go (/srv/a.js:7:2) {\n  [cause]: Error: connect ECONNREFUSED 127.0.0.1:5432\n      at x (/srv/db.js:1:1)\n}',
    { headline: 'Error: cannot start', at: '/srv/a.js:7:2' },
  ],
  ['the last of several', 'Error: first\nRangeError: second\n', { headline: 'RangeError: second', at: null }],
  [
    'one of a library, behind a logger',
    '12:00 [api] DatabaseError [X12]: gone',
    { headline: 'DatabaseError [X12]: gone', at: null },
  ],
  [
    'a port',
    'Error: listen EADDRINUSE: address already in use :::3000',
    {
      headline: 'Error: listen EADDRINUSE: address already in use :::3000',
      at: null,
    },
  ],
  ['no error', 'errors: 0\nno Error here\nall is well', null],
  ['nothing', '', null],
])('%s', (_what, log, expected) => {
  expect(fatalErrorIn(log.split('\n'))).toEqual(expected);
});

it('shows a log from its error on, and else its end', () => {
  const lines = ['old', 'Error: gone', ...Array.from({ length: 30 }, (_, index) => `    at frame ${index}`)];
  expect(tellingLines(lines, 3)).toEqual(['Error: gone', '    at frame 0', '    at frame 1']);
  expect(tellingLines(['a', 'b', 'c'], 2)).toEqual(['b', 'c']);
});
