/** The commonest mistakes of an application, each with the sentence that people read. */
import { describe, expect, it } from 'vitest';
import { diagnose } from './diagnose.js';
import { diagnoseExit, diagnoseRefusedStart } from './diagnoseExit.js';
import { diagnosisText, type ExitFacts, type HttpAnswer, type RunningFacts } from './facts.js';

const RUNNING: RunningFacts = {
  service: 'my-api',
  instance: { pmId: 3, pid: 42, port: 14000 },
  host: '127.0.0.1',
  mode: 'fork',
  ageMs: 6_000,
  probe: { kind: 'http', path: '/health', statusMin: 200, statusMax: 399, bodyIncludes: null },
  answer: { kind: 'refused' },
  otherPaths: [],
  listening: { addresses: [], isCertain: true, refused: null },
  holder: null,
  log: null,
  startTimeoutMs: 30_000,
};

const answered = (status: number, more: Partial<HttpAnswer & { kind: 'answered' }> = {}): HttpAnswer => ({
  kind: 'answered',
  status,
  location: null,
  body: '',
  ...more,
});

const on = (...places: [string, number][]): RunningFacts['listening'] => ({
  addresses: places.map(([address, port]) => ({ address, port })),
  isCertain: true,
  refused: null,
});

const strict = { ...RUNNING.probe, statusMax: 299 } as RunningFacts['probe'];
const asHost = (host: string) => ({ ...RUNNING.probe, host }) as RunningFacts['probe'];
const withBody = { ...RUNNING.probe, bodyIncludes: '"ok"' } as RunningFacts['probe'];

it.each<[what: string, facts: Partial<RunningFacts>, code: string, settled: boolean, text: string]>([
  [
    'no health path, and / answers',
    { answer: answered(404), otherPaths: [{ path: '/', status: 200 }] },
    'health-path-missing',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health answered 404; expected is 200–399, healthPath is /health; / answers 200. Set healthPath: / for my-api if that says that it is well, or let the health path answer.',
  ],
  [
    'no health path, nor any other',
    { answer: answered(404) },
    'health-path-missing',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health answered 404; expected is 200–399, healthPath is /health. Let that path answer 200, or set healthPath to one that does.',
  ],
  [
    'routes that may still be registered',
    { answer: answered(404), ageMs: 2_600 },
    'health-path-missing',
    false,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health answered 404; expected is 200–399, healthPath is /health. Let that path answer 200, or set healthPath to one that does.',
  ],
  [
    'a login before the health path',
    { answer: answered(401) },
    'health-path-protected',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health answered 401; expected is 200–399, healthPath is /health. Let the health path answer without a login, set healthPath to one that does, or let probes send what it asks for (healthHeaders).',
  ],
  [
    'a list of allowed hosts that has localhost',
    { answer: answered(403), otherHost: { host: 'localhost', status: 204 } },
    'host-refused',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health answered 403; expected is 200–399; asked as host localhost it answers 204. Set healthHost: localhost for my-api.',
  ],
  [
    'a list of allowed hosts, and the status that means it',
    { answer: answered(421), otherHost: { host: 'localhost', status: 421 } },
    'host-refused',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health answered 421; expected is 200–399; it was asked as host 127.0.0.1:14000. Set healthHost for my-api to a host that it answers, or let it answer 127.0.0.1:14000.',
  ],
  ...[
    'Invalid Host header',
    'Blocked request. This host ("10.0.0.1") is not allowed.',
    'Blocked hosts: x',
  ].map((body): [string, Partial<RunningFacts>, string, boolean, string] => [
    `a list of allowed hosts, in the words of the application: ${body}`,
    { answer: answered(403, { body }), otherPaths: [], probe: asHost('old.example') },
    'host-refused',
    true,
    `my-api#3 (port 14000): GET http://127.0.0.1:14000/health answered 403; expected is 200–399; it was asked as host old.example and says ${JSON.stringify(body)}. Correct healthHost of my-api, or let it answer old.example.`,
  ]),
  [
    'what may be a list of allowed hosts',
    { answer: answered(400) },
    'health-path-missing',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health answered 400; expected is 200–399, healthPath is /health. Let that path answer 200, or set healthPath to one that does. If it answers only hosts on a list, set healthHost to one of them.',
  ],
  [
    'no list of allowed hosts: it is asked as one already',
    { answer: answered(400), probe: asHost('shop.example') },
    'health-path-missing',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health answered 400; expected is 200–399, healthPath is /health. Let that path answer 200, or set healthPath to one that does.',
  ],
  [
    'an answer that shows the secrets of the request',
    {
      answer: answered(302, { location: '/login?token=s3cret-token' }),
      probe: { ...strict, headers: { Authorization: 'Bearer s3cret-token' } } as RunningFacts['probe'],
    },
    'health-path-redirects',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health answered 302 to /login?token=(hidden); expected is 200–299, healthPath is /health. Set healthPath to a path that answers by itself: redirects are not followed.',
  ],
  [
    'a redirect that does not count',
    { probe: strict, answer: answered(301, { location: '/login' }) },
    'health-path-redirects',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health answered 301 to /login; expected is 200–299, healthPath is /health. Set healthPath to a path that answers by itself: redirects are not followed.',
  ],
  [
    'a health path that fails',
    { answer: answered(500), ageMs: 12_000 },
    'health-fails',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health answered 500; expected is 200–399, healthPath is /health. Let the health path answer 2xx while the instance can serve.',
  ],
  [
    'one that says itself that it is not ready',
    { answer: answered(503), ageMs: 25_000 },
    'not-ready',
    false,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health answered 503; expected is 200–399, healthPath is /health. It says so itself: see what it waits for.',
  ],
  [
    'a body without the text',
    { probe: withBody, answer: answered(200, { body: 'all\n is  well' }) },
    'health-body',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health answered 200 without "\\"ok\\"" in its body, which healthBody asks for; it begins "all is well". Correct healthBody of my-api, or the answer.',
  ],
  [
    'a hard-coded port',
    { listening: on(['::', 3000]) },
    'wrong-port',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health was refused: it listens on port 3000 instead. Let it listen on process.env.PORT, which is 14000 here: every instance gets a port of its own.',
  ],
  [
    'a hard-coded port in cluster mode, without an agent',
    { mode: 'cluster', listening: { ...on(['127.0.0.1', 3000])!, isCertain: false } },
    'wrong-port',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health was refused: PM2 listens for applications like it on 127.0.0.1:3000 instead. Let it listen on process.env.PORT, which is 14000 here: every instance gets a port of its own.',
  ],
  [
    "a hard-coded port that another instance has, shared by PM2's cluster mode",
    { mode: 'cluster', listening: on(['::', 13999]), siblingPorts: [13998, 13999] },
    'shared-port',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health was refused: it listens on port 13999, which another instance of my-api was given. Let it listen on process.env.PORT, which is 14000 here. Processes that share one port cannot be told apart: those that serve are kept, and none can be added or replaced.',
  ],
  [
    'what may be a hard-coded port in cluster mode, without an agent',
    { mode: 'cluster', listening: null, siblingPorts: [13999], ageMs: 31_000 },
    'not-listening',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health was refused: nothing listens there 31 s after its start. Does it listen on process.env.PORT (14000) and not on a fixed port, such as 13999? Its agent could tell (withAgent in the ecosystem file).',
  ],
  [
    'a Unix socket',
    { listening: { ...on()!, paths: ['/run/my-api.sock'] } },
    'unix-socket',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health was refused: it listens on the Unix socket /run/my-api.sock, and on no port. Holdfast asks and balances ports only. Let it listen on process.env.PORT, which is 14000 here.',
  ],
  [
    'another port, beside a Unix socket',
    { listening: { ...on(['::', 3000])!, paths: ['/run/debug.sock'] } },
    'wrong-port',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health was refused: it listens on port 3000 instead. Let it listen on process.env.PORT, which is 14000 here: every instance gets a port of its own.',
  ],
  [
    'localhost that is ::1',
    { listening: on(['::1', 14000]) },
    'wrong-address',
    true,
    "my-api#3 (port 14000): GET http://127.0.0.1:14000/health was refused: it listens on [::1]:14000 (that is what `localhost` means on this machine) and is looked for at 127.0.0.1. Let it listen on 127.0.0.1: server.listen(process.env.PORT, '127.0.0.1') instead of 'localhost', port 14000.",
  ],
  [
    "only the machine's own address",
    { listening: on(['10.1.2.3', 14000]) },
    'wrong-address',
    true,
    "my-api#3 (port 14000): GET http://127.0.0.1:14000/health was refused: it listens on 10.1.2.3:14000 and is looked for at 127.0.0.1. Let it listen on 127.0.0.1: server.listen(process.env.PORT, '127.0.0.1') instead of '10.1.2.3', port 14000.",
  ],
  [
    'one that listens late, or never',
    {},
    'not-listening',
    false,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health was refused: it listens on no port 6 s after its start. If it only starts slowly, raise startTimeout (now 30 s); otherwise see why it never calls listen(process.env.PORT).',
  ],
  [
    'one that never listened in all its time to start',
    { ageMs: 31_000 },
    'not-listening',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health was refused: it listens on no port 31 s after its start. If it only starts slowly, raise startTimeout (now 30 s); otherwise see why it never calls listen(process.env.PORT).',
  ],
  [
    'a build whose import fails: PM2 keeps it running, and it never listens',
    {
      log: {
        path: '/x.log',
        lines: [
          'You have triggered an unhandledRejection',
          "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'pg' imported from /srv/db.mjs",
          '    at packageResolve (node:internal/modules/esm/resolve:873:9)',
        ],
      },
    },
    'not-listening',
    true,
    "my-api#3 (port 14000): GET http://127.0.0.1:14000/health was refused: it listens on no port 6 s after its start. Its last error: Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'pg' imported from /srv/db.mjs. Mend what its log says, then deploy it.",
  ],
  [
    'one that waits for its database before it listens',
    {
      log: {
        path: '/x.log',
        lines: ['Error: connect ECONNREFUSED 127.0.0.1:5432', '    at go (/srv/db.js:4:2)'],
      },
    },
    'not-listening',
    false,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health was refused: it listens on no port 6 s after its start. Its last error: Error: connect ECONNREFUSED 127.0.0.1:5432 (/srv/db.js:4:2). Mend what its log says, then deploy it.',
  ],
  [
    'one of which nothing is known',
    { listening: null },
    'not-listening',
    false,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health was refused: nothing listens there 6 s after its start. Does it listen on process.env.PORT (14000)? If it only starts slowly, raise startTimeout.',
  ],
  [
    'one that swallows EADDRINUSE',
    {
      listening: {
        addresses: [],
        isCertain: true,
        refused: { address: '::', port: 3000, code: 'EADDRINUSE' },
      },
    },
    'port-taken',
    true,
    'my-api#3 (port 14000): it could not listen on port 3000 (EADDRINUSE) and listens nowhere else. Let it listen on process.env.PORT, which is 14000 here.',
  ],
  [
    'another program on its port',
    { answer: answered(404), holder: { port: 14000, by: 'pid 7 (python3 -m http.server)' } },
    'port-taken',
    true,
    'my-api#3 (port 14000): port 14000 was given to it, but pid 7 (python3 -m http.server) listens there. End that process, or give my-api other ports (its port in the ecosystem file, or startPort).',
  ],
  [
    'a health path that never answers, while / does',
    { answer: { kind: 'silent', waitedMs: 3_000 }, otherPaths: [{ path: '/', status: 200 }], ageMs: 12_000 },
    'no-answer',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health was accepted and not answered within 3 s; / answers 200. Set healthPath: / for my-api if that says that it is well, or let the health path answer.',
  ],
  [
    'TCP only',
    {
      answer: {
        kind: 'not-http',
        detail: 'the connection was closed without an answer',
        speaksTls: false,
      },
    },
    'not-http',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health brought no HTTP answer: the connection was closed without an answer. If it speaks another protocol, set healthProbe: tcp for my-api; the gateway forwards HTTP only.',
  ],
  [
    'https',
    { answer: { kind: 'not-http', detail: 'the connection was closed', speaksTls: true } },
    'speaks-tls',
    true,
    'my-api#3 (port 14000): GET http://127.0.0.1:14000/health failed: it speaks TLS (https) there. Let it speak plain HTTP: the gateway can speak TLS towards clients (TLS_CERT, TLS_KEY).',
  ],
  [
    'a TCP probe that is refused',
    { probe: { kind: 'tcp' }, listening: on(['0.0.0.0', 3000]) },
    'wrong-port',
    true,
    'my-api#3 (port 14000): a connection to 127.0.0.1:14000 was refused: it listens on port 3000 instead. Let it listen on process.env.PORT, which is 14000 here: every instance gets a port of its own.',
  ],
])('%s', (_what, facts, code, settled, text) => {
  const diagnosis = diagnose({ ...RUNNING, ...facts });
  expect(diagnosis).toMatchObject({ code, settled, service: 'my-api' });
  expect(diagnosis === null ? '' : diagnosisText(diagnosis)).toBe(text);
});

describe('says nothing', () => {
  it.each<[string, Partial<RunningFacts>]>([
    ['of an answer that is right', { answer: answered(204) }],
    ['of a right answer with a word about hosts', { answer: answered(200, { body: 'host is not allowed' }) }],
    ['of a body that is right', { probe: withBody, answer: answered(200, { body: '{"ok"}' }) }],
    ['of one without a port', { instance: { pmId: 3, pid: 42, port: null }, answer: null }],
    ['of one that has just begun to listen', { listening: on(['127.0.0.1', 14000]) }],
    ['of one that listens on all addresses', { listening: on(['::', 14000], ['::1', 14000]) }],
    ['of a TCP probe that connects', { probe: { kind: 'tcp' }, answer: answered(0) }],
    ['where the machine refuses to ask', { answer: { kind: 'failed', detail: 'EMFILE' } }],
  ])('%s', (_what, facts) => {
    expect(diagnose({ ...RUNNING, ...facts })).toBeNull();
  });
});

const ENDED: ExitFacts = {
  service: 'my-api',
  instance: { pmId: 3, pid: 42, port: 14000 },
  mode: 'fork',
  ageMs: 240,
  exitCode: 1,
  signal: null,
  error: null,
  holder: null,
  hasAgent: true,
  log: null,
  times: 1,
};
const failedWith = (headline: string, at: string | null = null): Partial<ExitFacts> => ({
  error: { headline, at },
});

it.each<[what: string, facts: Partial<ExitFacts>, code: string, text: string]>([
  [
    'a package that is not installed',
    failedWith("Error: Cannot find module 'express'", '/srv/my-api/server.js:1:17'),
    'module-missing',
    'my-api#3 (port 14000) ended 0.2 s after its start with exit code 1: it cannot find the module express (/srv/my-api/server.js:1:17). Install what it needs: `npm ci` in its folder, or `npm install express`.',
  ],
  [
    'a part of a scoped package, of an ES module',
    failedWith(
      "Error [ERR_MODULE_NOT_FOUND]: Cannot find package '@scope/lib/part' imported from /srv/a.mjs",
    ),
    'module-missing',
    'my-api#3 (port 14000) ended 0.2 s after its start with exit code 1: it cannot find the package @scope/lib/part, imported from /srv/a.mjs. Install what it needs: `npm ci` in its folder, or `npm install @scope/lib`.',
  ],
  [
    'a file of its own that is missing',
    failedWith("Error: Cannot find module './routes'", '/srv/my-api/server.js:2:1'),
    'module-missing',
    'my-api#3 (port 14000) ended 0.2 s after its start with exit code 1: it cannot find the file ./routes (/srv/my-api/server.js:2:1). Is the build complete, and the path right?',
  ],
  [
    'a script that is not there',
    failedWith("Error: Cannot find module '/srv/my-api/dist/server.js'"),
    'module-missing',
    'my-api#3 (port 14000) ended 0.2 s after its start with exit code 1: it cannot find the file /srv/my-api/dist/server.js. Is the build complete, and the path right?',
  ],
  [
    'a syntax error',
    failedWith("SyntaxError: Unexpected token '}'", '/srv/my-api/server.js:12'),
    'syntax-error',
    "my-api#3 (port 14000) ended 0.2 s after its start with exit code 1: SyntaxError: Unexpected token '}' (/srv/my-api/server.js:12). `node --check` on that file shows the place.",
  ],
  [
    'a hard-coded port that is taken',
    {
      ...failedWith('Error: listen EADDRINUSE: address already in use :::3000'),
      holder: { port: 3000, by: 'pid 9 (node supervisor.js)' },
    },
    'port-taken',
    'my-api#3 (port 14000) ended 0.2 s after its start with exit code 1: port 3000 is taken by pid 9 (node supervisor.js) (EADDRINUSE); it was given 14000. Let it listen on process.env.PORT, which is 14000 here: every instance gets a port of its own.',
  ],
  [
    'its own port, taken',
    failedWith('Error: listen EADDRINUSE: address already in use 127.0.0.1:14000'),
    'port-taken',
    'my-api#3 (port 14000) ended 0.2 s after its start with exit code 1: port 14000 is taken (EADDRINUSE). End what holds port 14000, or give my-api other ports.',
  ],
  [
    'a port that only root may use',
    failedWith('Error: listen EACCES: permission denied 0.0.0.0:80'),
    'port-forbidden',
    'my-api#3 (port 14000) ended 0.2 s after its start with exit code 1: it may not listen on port 80 (EACCES). Let it listen on process.env.PORT, which is 14000 here: every instance gets a port of its own.',
  ],
  [
    'a Unix socket that another instance has',
    failedWith('Error: listen EADDRINUSE: address already in use /run/my-api.sock'),
    'unix-socket',
    'my-api#3 (port 14000) ended 0.2 s after its start with exit code 1: it could not listen on the Unix socket /run/my-api.sock (EADDRINUSE). Holdfast asks and balances ports only. Let it listen on process.env.PORT, which is 14000 here.',
  ],
  [
    'an error of its own',
    failedWith('TypeError: x is not a function', '/srv/my-api/server.js:3:1'),
    'crashed',
    'my-api#3 (port 14000) ended 0.2 s after its start with exit code 1: TypeError: x is not a function (/srv/my-api/server.js:3:1). Mend what its log says, then it is started again.',
  ],
  [
    'an end without a word',
    { exitCode: 2 },
    'crashed',
    'my-api#3 (port 14000) ended 0.2 s after its start with exit code 2 and left no error in its log. Run its script with `node` to see what it says.',
  ],
  [
    'a fatal signal',
    { exitCode: null, signal: 'SIGSEGV' },
    'crashed',
    'my-api#3 (port 14000) ended 0.2 s after its start with SIGSEGV and left no error in its log. Run its script with `node` to see what it says.',
  ],
  [
    'one that is no service: it is done at once',
    { exitCode: 0 },
    'ended',
    'my-api#3 (port 14000) ended 0.2 s after its start with exit code 0, without an error: it did not stay to listen on its port. A service keeps running: let it listen on process.env.PORT.',
  ],
  [
    'exit code 0 in cluster mode without an agent, which says nothing',
    { exitCode: 0, mode: 'cluster', hasAgent: false },
    'ended',
    'my-api#3 (port 14000) ended 0.2 s after its start with exit code 0, without an error: it did not stay to listen on its port. PM2 loses what a process in cluster mode says last; run its script with `node`, or give it the agent (withAgent in the ecosystem file).',
  ],
])('ended: %s', (_what, facts, code, text) => {
  const diagnosis = diagnoseExit({ ...ENDED, ...facts });
  expect(diagnosis).toMatchObject({ code, settled: false });
  expect(diagnosisText(diagnosis)).toBe(text);
});

it('takes a second end in a row for settled', () => {
  expect(diagnoseExit({ ...ENDED, times: 2 }).settled).toBe(true);
});

it('passes on why PM2 starts none', () => {
  expect(diagnosisText(diagnoseRefusedStart('my-api', 'Script not found: /srv/x.js.'))).toBe(
    'my-api cannot be started: Script not found: /srv/x.js. Check its script, cwd and interpreter in the ecosystem file.',
  );
});
