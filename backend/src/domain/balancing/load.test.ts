/** The ones that look at the load: how even they are, simulated, with one slow upstream. */
import { describe, expect, it } from 'vitest';
import { rampOf } from '../upstreams/slowStart.js';
import type { Endpoint } from './picker.js';
import { algorithms } from './registry.js';
import { equalPool, keyHash, picker, pool, seeded } from './testing/pool.js';

interface Outcome {
  /** Requests that each endpoint got. */
  readonly requests: readonly number[];
  /** The most each endpoint had under way at once. */
  readonly peaks: readonly number[];
  readonly mostInFlightOnAny: number;
}

/** Requests arrive every millisecond or so and take as long as their endpoint takes, exponentially distributed. */
function simulate(
  name: string,
  endpoints: Endpoint[],
  meanMs: (index: number) => number,
  requests: number,
): Outcome {
  const random = seeded(7);
  const picking = picker(name, endpoints);
  const ends: { endpoint: Endpoint; atMs: number }[] = [];
  const got = endpoints.map(() => 0);
  const peaks = endpoints.map(() => 0);
  let nowMs = 0;
  for (let request = 0; request < requests; request += 1) {
    nowMs += -Math.log(1 - random());
    for (let at = ends.length - 1; at >= 0; at -= 1) {
      if (ends[at]!.atMs > nowMs) continue;
      ends[at]!.endpoint.inFlight -= 1;
      ends.splice(at, 1);
    }
    const endpoint = picking.pick({ hash: keyHash(request), tried: null })!;
    const index = endpoints.indexOf(endpoint);
    endpoint.inFlight += 1;
    got[index] = got[index]! + 1;
    peaks[index] = Math.max(peaks[index]!, endpoint.inFlight);
    ends.push({ endpoint, atMs: nowMs - Math.log(1 - random()) * meanMs(index) });
  }
  return { requests: got, peaks, mostInFlightOnAny: Math.max(...peaks) };
}

/** Four endpoints at 20 % of the arrivals each would suffice; the first takes 20 times as long as the others. */
const slow = (index: number): number => (index === 0 ? 200 : 10);

describe('with one upstream 20 times slower than the others', () => {
  const fair = 20_000 / 4;

  it('round-robin, for comparison, heaps requests up on it', () => {
    const { requests, peaks } = simulate('round-robin', equalPool(4), slow, 20_000);
    expect(requests[0]).toBe(fair);
    expect(peaks[0]).toBeGreaterThan(45);
  });

  it('least-connections gives it as many at a time as the others have, so hardly any of the traffic', () => {
    const { requests, peaks } = simulate('least-connections', equalPool(4), slow, 20_000);
    expect(requests[0]).toBeLessThan(0.12 * fair);
    expect(peaks[0]).toBeLessThanOrEqual(Math.max(...peaks.slice(1)));
    expect(Math.max(...requests.slice(1)) / Math.min(...requests.slice(1))).toBeLessThan(1.06);
  });

  it('p2c gives it few more', () => {
    const { requests, peaks } = simulate('p2c', equalPool(4), slow, 20_000);
    expect(requests[0]).toBeLessThan(0.2 * fair);
    expect(peaks[0]).toBeLessThanOrEqual(Math.max(...peaks.slice(1)) + 2);
  });
});

it.each(['least-connections', 'p2c'])('%s loads by weight', (name) => {
  const endpoints = pool(1, 2, 5);
  simulate(name, endpoints, () => 80, 20_000);
  // Some 80 under way, 10 per weight: whatever the draw, nobody is far from that.
  for (const { inFlight, weight } of endpoints) expect(Math.abs(inFlight / weight - 10)).toBeLessThan(4);
});

describe('least-connections', () => {
  it('picks the least loaded, always, and for its weight', () => {
    const random = seeded(3);
    const endpoints = pool(1, 2, 5, 5, 10);
    const picking = picker('least-connections', endpoints);
    for (let pick = 0; pick < 2_000; pick += 1) {
      for (const endpoint of endpoints) endpoint.inFlight = Math.floor(random() * 8);
      const least = Math.min(...endpoints.map(({ inFlight, weight }) => inFlight / weight));
      const { inFlight, weight } = picking.pick({ hash: 0, tried: null })!;
      expect(inFlight / weight).toBe(least);
    }
  });

  it('takes turns among equals only, and forgets them when somebody has less', () => {
    const endpoints = equalPool(4);
    const picking = picker('least-connections', endpoints);
    endpoints[0]!.inFlight = 3;
    endpoints[1]!.inFlight = 2;
    endpoints[2]!.inFlight = 2;
    endpoints[3]!.inFlight = 1;
    for (let pick = 0; pick < 10; pick += 1)
      expect(picking.pick({ hash: 0, tried: null })).toBe(endpoints[3]);
    endpoints[3]!.inFlight = 5;
    const counts = endpoints.map(() => 0);
    for (let pick = 0; pick < 100; pick += 1) {
      const index = endpoints.indexOf(picking.pick({ hash: 0, tried: null })!);
      counts[index] = counts[index]! + 1;
    }
    expect(counts).toEqual([0, 50, 50, 0]);
  });

  it('is nearly as even among 1 000, of which it compares 32, and more so than p2c', () => {
    const mean = () => 10_000;
    const least = simulate('least-connections', equalPool(1000), mean, 15_000);
    const p2c = simulate('p2c', equalPool(1000), mean, 15_000);
    const alone = simulate('random', equalPool(1000), mean, 15_000);
    // About eight requests under way on each, in the mean.
    expect(least.mostInFlightOnAny).toBeLessThanOrEqual(11);
    expect(p2c.mostInFlightOnAny).toBeLessThanOrEqual(14);
    expect(alone.mostInFlightOnAny).toBeGreaterThan(16);
  });
});

describe.each([...algorithms.keys()])('%s: an upstream that came up', (name) => {
  it.each([1, 40])('gets its share gradually, with %i requests under way', (underWay) => {
    const endpoints = equalPool(5);
    const [comer] = endpoints;
    const picking = picker(name, endpoints);
    const queue: Endpoint[] = [];
    const shares: number[] = [];
    // Ten seconds of slow start, 2 000 requests in each.
    for (let second = 0; second < 12; second += 1) {
      let got = 0;
      for (let request = 0; request < 2_000; request += 1) {
        comer!.ramp = rampOf(0, second * 1_000 + request / 2, 10_000);
        if (queue.length === underWay) queue.shift()!.inFlight -= 1;
        const endpoint = picking.pick({ hash: keyHash(second * 2_000 + request), tried: null })!;
        endpoint.inFlight += 1;
        queue.push(endpoint);
        if (endpoint === comer) got += 1;
      }
      shares.push(got / 2_000);
    }
    // A fifth at the end; on the way there never much more than the ramp says, and hardly ever less than before.
    for (const [second, share] of shares.entries()) {
      const ramp = Math.min(1, (second + 1) / 10);
      expect(share, `second ${second}`).toBeLessThan((1.3 * ramp) / (4 + ramp) + 0.04);
      expect(share, `second ${second}`).toBeGreaterThan((shares[second - 1] ?? 0) - 0.03);
    }
    expect(shares[0]).toBeGreaterThan(0);
    expect(Math.abs(shares.at(-1)! - 0.2)).toBeLessThan(0.025);
  });
});

describe('consistent-hash on Zipf keys', () => {
  /**
   * Keeps `underWay` requests under way, the oldest ends first. The highest ÷ mean over the second half, how often the
   * bound was exceeded, and the share of requests that their key's own upstream got.
   */
  function peakOf(
    name: string,
    endpoints: Endpoint[],
    underWay: number,
  ): { peak: number; broken: number; atOwner: number } {
    const random = seeded(11);
    const picking = picker(name, endpoints);
    const queue: Endpoint[] = [];
    let peak = 0;
    let broken = 0;
    let atOwner = 0;
    const owners = picker('ip-hash', endpoints);
    const totalWeight = endpoints.reduce((sum, { available, weight }) => sum + (available ? weight : 0), 0);
    for (let request = 0; request < 60_000; request += 1) {
      if (queue.length === underWay) queue.shift()!.inFlight -= 1;
      // Zipf with exponent 1 over a thousand keys, by inversion of its continuous form.
      const key = Math.floor(1000 ** random()) - 1;
      const endpoint = picking.pick({ hash: keyHash(key), tried: null })!;
      if (endpoint === owners.pick({ hash: keyHash(key), tried: null })) atOwner += 1 / 60_000;
      endpoint.inFlight += 1;
      queue.push(endpoint);
      const share = endpoint.weight / totalWeight;
      if (endpoint.inFlight > Math.ceil(1.25 * queue.length * share)) broken += 1;
      if (request > 30_000) {
        const loads = endpoints.map(({ inFlight, weight }) => (inFlight * totalWeight) / (weight * underWay));
        peak = Math.max(peak, ...loads);
      }
    }
    return { peak, broken, atOwner };
  }

  it('never exceeds 1.25 of the fair share, where the unbounded hash is far above', () => {
    const bounded = peakOf('consistent-hash', equalPool(8), 400);
    expect(bounded.broken).toBe(0);
    expect(bounded.peak).toBeLessThanOrEqual(1.26);
    expect(peakOf('ip-hash', equalPool(8), 400).peak).toBeGreaterThan(1.9);
  });

  it('keeps the bound by weight', () => {
    const bounded = peakOf('consistent-hash', pool(1, 1, 2, 4), 400);
    expect(bounded.broken).toBe(0);
    expect(bounded.peak).toBeLessThanOrEqual(1.26);
  });

  it('keeps it among those that are available', () => {
    const endpoints = equalPool(4);
    endpoints[1]!.available = false;
    const bounded = peakOf('consistent-hash', endpoints, 400);
    expect(bounded.broken).toBe(0);
    expect(bounded.peak).toBeLessThanOrEqual(1.26);
    const without = peakOf('consistent-hash', equalPool(4).toSpliced(1, 1), 400);
    expect(Math.abs(bounded.atOwner - without.atOwner)).toBeLessThan(0.02);
  });

  it('stays close to it in a pool too large to be summed at every pick', () => {
    expect(peakOf('consistent-hash', equalPool(100), 2_000).peak).toBeLessThanOrEqual(1.3);
  });

  it('sends a key to its own upstream while there is room', () => {
    const endpoints = equalPool(8);
    const bounded = picker('consistent-hash', endpoints);
    const free = picker('ip-hash', endpoints);
    for (let key = 0; key < 2_000; key += 1) {
      const context = { hash: keyHash(key), tried: null };
      expect(bounded.pick(context)).toBe(free.pick(context));
    }
  });
});
