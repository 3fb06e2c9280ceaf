import { expect, it } from 'vitest';
import { MOST_REPORTED_UPSTREAMS, reported } from './traffic.js';
import type { UpstreamTraffic } from './traffic.js';

const at = (host: string, port: number, state: UpstreamTraffic['state'] = 'up'): UpstreamTraffic => ({
  host,
  port,
  state,
  inFlight: 1,
  drained: false,
  throughputPerSecond: 1,
  errorRate: null,
  responseTimeMs: null,
});
const far = Array.from({ length: MOST_REPORTED_UPSTREAMS }, (_, i) => at('10.0.0.1', 1 + i));
const here = Array.from({ length: MOST_REPORTED_UPSTREAMS }, (_, i) => at('127.0.0.1', 1 + i));

it('reports all that fit, in their order', () => {
  expect(reported(far)).toEqual({ upstreams: far });
});

it('leaves out what is on other machines first, and that is no cut', () => {
  const own = [at('127.0.0.1', 13_004), at('::1', 13_005, 'draining')];
  const { upstreams, cut } = reported([...far, ...own]);
  expect(upstreams).toHaveLength(MOST_REPORTED_UPSTREAMS);
  expect(upstreams).toEqual(expect.arrayContaining(own));
  expect(cut).toBeUndefined();
});

it('keeps those that drain, and says that it is cut when others of this machine are left out', () => {
  const drains = at('127.0.0.1', 13_004, 'draining');
  const { upstreams, cut } = reported([...here, drains]);
  expect(upstreams[0]).toEqual(drains);
  expect(cut).toBe(true);
});
