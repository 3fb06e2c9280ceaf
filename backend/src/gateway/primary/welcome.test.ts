import { expect, it } from 'vitest';
import { poolRow, snapshotOf, upstreamRow } from '../../../../test/support/gatewayWorker.js';
import type { GatewayFacts, UpstreamFact } from '../pages/facts.js';
import { areChecked, welcomeLines } from './welcome.js';

const here = {
  url: 'http://127.0.0.1:13003',
  host: '0.0.0.0',
  tlsPort: null,
  logFile: '/srv/logs/ha-gateway.log',
};

const fact = (ok: boolean, detail = ''): UpstreamFact => ({
  source: 'static',
  kept: false,
  fault: null,
  lastCheck: { atMs: 0, ok, latencyMs: 1, detail },
});

function factsOf(
  upstreams: ReadonlyMap<string, UpstreamFact>,
  rows: Parameters<typeof poolRow>[1],
): GatewayFacts {
  return {
    version: '1.2.3',
    startedAtMs: 0,
    snapshot: snapshotOf(poolRow([], rows)),
    workers: [{ id: 1, pid: 7, state: 'serving', startedAtMs: 0, snapshotVersion: 1 }],
    workerRestarts: 0,
    upstreams,
    sources: [{ name: 'dns', pool: 'default', state: 'stale', detail: 'shop.internal: ENOTFOUND' }],
    problems: [],
    certificates: [],
    accessLogDropped: 0,
  };
}

it('says where it listens, how each upstream is, and what to try next', () => {
  const upstreams = new Map([
    ['127.0.0.1:81', fact(true)],
    ['127.0.0.1:8082', fact(false, 'connect ECONNREFUSED')],
  ]);
  const rows = [
    upstreamRow(81, { weight: 2 }),
    upstreamRow(8082, { state: 'down' }),
    upstreamRow(83, { state: 'down' }),
  ];
  const facts = factsOf(upstreams, { name: 'shop', upstreams: rows });
  expect(areChecked(facts)).toBe(false);
  expect(welcomeLines(facts, { ...here, tlsPort: 13443 })).toEqual([
    'The Holdfast gateway 1.2.3 listens on http://127.0.0.1:13003 (0.0.0.0, TLS on port 13443; 1 worker).',
    '',
    'shop, round-robin:',
    '  127.0.0.1:81    up (weight 2)',
    '  127.0.0.1:8082  down: connect ECONNREFUSED',
    '  127.0.0.1:83    not checked yet',
    '',
    'Try next:  curl -i http://127.0.0.1:13003/',
    '           http://127.0.0.1:13003/lb in a browser, to see its traffic live',
    'Its log:   /srv/logs/ha-gateway.log',
    'Stop it:   Ctrl-C',
  ]);
});

it('says why there is nobody, and how to have somebody', () => {
  const facts = factsOf(new Map(), {});
  expect(areChecked(facts)).toBe(false);
  const text = welcomeLines(facts, here).join('\n');
  expect(text).toContain('dns: shop.internal: ENOTFOUND');
  expect(text).toContain("BACKEND_HOSTS='127.0.0.1:18081,127.0.0.1:18082' npm run balancer");
  expect(text).toContain('curl -i http://127.0.0.1:13003/health');
});

it('says why it uses ports that nothing chose, and how to have something there', () => {
  const detail = '127.0.0.1:81 to 82: no source is set';
  const rows = [upstreamRow(81, { state: 'down' }), upstreamRow(82, { state: 'down' })];
  const silent = {
    ...factsOf(new Map(), { upstreams: rows, algorithm: 'ip-hash' }),
    sources: [{ name: 'ports', pool: 'default', state: 'live' as const, detail }],
  };
  const text = welcomeLines(silent, here).join('\n');
  expect(text).toContain(`Why ${detail}.`);
  expect(text).toContain('In another terminal:  npm run cluster');
  expect(text).toContain('LB_ALGORITHM=round-robin');
  const serving = { ...silent, snapshot: snapshotOf(poolRow([], { upstreams: [upstreamRow(81)] })) };
  expect(welcomeLines(serving, here).join('\n')).not.toMatch(/npm run cluster|LB_ALGORITHM/);
});

it('does not fill the screen', () => {
  const rows = Array.from({ length: 1_000 }, (_, port) => upstreamRow(port + 1));
  const upstreams = new Map(rows.map(({ id }) => [id, fact(true)]));
  const facts = factsOf(upstreams, { upstreams: rows });
  expect(areChecked(facts)).toBe(true);
  const lines = welcomeLines(facts, here);
  expect(lines.length).toBeLessThan(30);
  expect(lines).toContain('  and 984 more');
});
