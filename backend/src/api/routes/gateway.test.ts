import { beforeEach, expect, it } from 'vitest';
import { MOST_REPORTED_UPSTREAMS } from '../../domain/statistics/traffic.js';
import type { TrafficReport, UpstreamTraffic } from '../../domain/statistics/traffic.js';
import { startHarness } from '../testing/harness.js';
import type { Harness } from '../testing/harness.js';

const PATH = '/api/ha/gateway/report';

const UPSTREAM: UpstreamTraffic = {
  host: '127.0.0.1',
  port: 13_004,
  state: 'draining',
  inFlight: 2,
  drained: false,
  throughputPerSecond: 12.5,
  errorRate: 0.25,
  responseTimeMs: { p50: 1, p95: 20, p99: 300 },
};
const REPORT: TrafficReport = { gateway: 'box:4711', workers: 2, leaving: false, upstreams: [UPSTREAM] };

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
  return () => harness.close();
});

it('takes a report in as it is', async () => {
  const { status, json } = await harness.call('POST', PATH, { body: REPORT });
  expect([status, json.data]).toEqual([200, { accepted: true }]);
  expect(harness.controlPlane.reports).toEqual([REPORT]);
  // Any process of this machine may send it where no token is set.
  expect(harness.controlPlane.calls).toEqual(['reportTraffic']);
});

it('takes the largest one that a gateway sends', async () => {
  const upstreams = Array.from({ length: MOST_REPORTED_UPSTREAMS }, (_, i) => ({
    ...UPSTREAM,
    host: '2001:0db8:85a3:0000:0000:8a2e:0370:7334',
    port: 10_000 + i,
    responseTimeMs: { p50: 123.45, p95: 1_234.56, p99: 12_345.67 },
  }));
  const { status } = await harness.call('POST', PATH, { body: { ...REPORT, upstreams } });
  expect(status).toBe(200);
});

it.each([
  ['a name without a pid', { gateway: 'box' }],
  [
    'an upstream too many',
    { upstreams: Array.from({ length: MOST_REPORTED_UPSTREAMS + 1 }, () => UPSTREAM) },
  ],
  ['a port that is none', { upstreams: [{ ...UPSTREAM, port: 0 }] }],
  ['less than nothing under way', { upstreams: [{ ...UPSTREAM, inFlight: -1 }] }],
  ['a share above one', { upstreams: [{ ...UPSTREAM, errorRate: 1.5 }] }],
  ['an unknown state', { upstreams: [{ ...UPSTREAM, state: 'sideways' }] }],
  ['a field that nobody knows', { shoeSize: 43 }],
])('refuses %s', async (_what, change) => {
  const { status, json } = await harness.call('POST', PATH, { body: { ...REPORT, ...change } });
  expect([status, json.error?.code]).toEqual([400, 'request.invalid']);
  expect(harness.controlPlane.reports).toEqual([]);
});

it('asks for the token like any other call', async () => {
  const guarded = await startHarness({ settings: { token: 'a-token-of-some-length' } });
  try {
    expect((await guarded.call('POST', PATH, { body: REPORT })).status).toBe(401);
    const headers = { authorization: 'Bearer a-token-of-some-length' };
    expect((await guarded.call('POST', PATH, { body: REPORT, headers })).status).toBe(200);
    expect(guarded.controlPlane.calls).toEqual(['reportTraffic, known']);
  } finally {
    await guarded.close();
  }
});

it('leaves every other call its small bodies', async () => {
  const reason = 'x'.repeat(20 * 1024);
  const { status } = await harness.call('POST', '/api/ha/failover', {
    body: { serviceName: 'words', reason },
  });
  expect(status).toBe(413);
});
