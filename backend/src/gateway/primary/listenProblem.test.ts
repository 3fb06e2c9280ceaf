import { expect, it } from 'vitest';
import { explainListenProblem, mayPass } from './listenProblem.js';

const ADDRESS = { host: '0.0.0.0', port: 13_003 };
const explain = (code: string, holder: string | null = null): string =>
  explainListenProblem({ ok: false, code, message: 'the system says so' }, ADDRESS, holder);

it.each([
  ['EADDRINUSE', 'pid 4711 (nginx)', 'Port 13003 on 0.0.0.0 is taken by pid 4711 (nginx). End that process'],
  ['EADDRINUSE', null, 'Port 13003 on 0.0.0.0 is taken. End that process, or set BALANCER_PORT'],
  ['EACCES', null, 'may not listen on port 13003. Set BALANCER_PORT to a port above 1023'],
  ['EADDRNOTAVAIL', null, '0.0.0.0 is not an address of this machine. Set BALANCER_HOST'],
  ['EMFILE', null, 'cannot listen on 0.0.0.0:13003: the system says so'],
])('%s, held by %s', (code, holder, expected) => {
  expect(explain(code, holder)).toContain(expected);
});

it('names the setting of the port that could not be had', () => {
  const problem = { ok: false, code: 'EADDRINUSE', message: '', port: 13_443 } as const;
  expect(explainListenProblem(problem, ADDRESS, null)).toContain('Port 13443 on 0.0.0.0 is taken. End that');
  expect(explainListenProblem(problem, ADDRESS, null)).toContain('set TLS_PORT to a free port');
});

it('says of certificates what is wrong with them', () => {
  const message = "The certificate shop.crt can't be used: its key belongs to another certificate.";
  expect(explainListenProblem({ ok: false, code: 'tls.certificates', message }, ADDRESS, null)).toBe(message);
});

it.each([
  ['EADDRINUSE', true],
  ['EADDRNOTAVAIL', true],
  ['EMFILE', true],
  ['gateway.no-worker', true],
  ['EACCES', false],
  ['ENOTFOUND', false],
  ['tls.certificates', false],
])('%s may pass by itself: %s', (code, expected) => {
  expect(mayPass({ ok: false, code, message: '' })).toBe(expected);
});
