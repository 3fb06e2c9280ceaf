import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { UpstreamStats, WorkerStats } from './gatewayStats.js';
import { countOf, createHistogram, record } from './histogram.js';
import { errorsOf, requestsOf } from './trafficCounters.js';
import { TrafficLedger, upstreamKey } from './trafficLedger.js';

/** A worker that answered `good` requests in 10 ms each and `bad` ones with 500. */
function row(id: string, good: number, bad = 0, more: Partial<UpstreamStats> = {}): UpstreamStats {
  const latency = createHistogram();
  for (let i = 0; i < good + bad; i += 1) record(latency, 10);
  return {
    pool: 'shop',
    id,
    counters: {
      answers: [0, good, 0, 0, bad],
      failures: 0,
      retries: 0,
      ejections: 0,
      connectionsOpened: 1,
      latency,
    },
    inFlight: 1,
    connections: 2,
    ejectedForMs: 0,
    ...more,
  };
}

function report(upstreams: UpstreamStats[], more: Partial<WorkerStats> = {}): WorkerStats {
  const answered = upstreams.reduce((total, { counters }) => total + counters.answers[1], 0);
  return {
    upstreams,
    clients: { connections: 3, upgraded: 1, accepted: answered, answers: [0, answered, 0, 0, 0] },
    refusals: {},
    accessLogDropped: 0,
    seen: [],
    ...more,
  };
}

describe('TrafficLedger', () => {
  it('adds up workers: counters and gauges', () => {
    const ledger = new TrafficLedger();
    ledger.report(1, report([row('a:1', 10)]), 0);
    ledger.report(2, report([row('a:1', 5, 1), row('b:2', 7)]), 100);
    expect(ledger.upstreamTotal('shop', 'a:1').answers).toEqual([0, 15, 0, 0, 1]);
    expect(requestsOf(ledger.poolTotal('shop'))).toBe(23);
    expect(errorsOf(ledger.poolTotal('shop'))).toBe(1);
    expect(ledger.gauges('shop', 'a:1')).toEqual({
      inFlight: 2,
      connections: 4,
      ejectedBy: 0,
      ejectedForMs: 0,
    });
    expect(ledger.clients).toEqual({ connections: 6, upgraded: 2, accepted: 22, answers: [0, 22, 0, 0, 0] });
  });

  it('keeps counting when a worker is replaced, and forgets its gauges', () => {
    const ledger = new TrafficLedger();
    ledger.report(1, report([row('a:1', 10)], { refusals: { 'head.malformed': 3 } }), 0);
    ledger.workerGone(1);
    expect(ledger.gauges('shop', 'a:1').inFlight).toBe(0);
    ledger.report(2, report([row('a:1', 4)], { refusals: { 'head.malformed': 2 } }), 500);
    expect(requestsOf(ledger.upstreamTotal('shop', 'a:1'))).toBe(14);
    expect([...ledger.refusals]).toEqual([['head.malformed', 5]]);
    expect(ledger.clients.connections).toBe(3);
  });

  it('keeps the part of an upstream that left in its pool, and counts it anew when it comes back', () => {
    const ledger = new TrafficLedger();
    ledger.report(1, report([row('a:1', 10), row('b:2', 1)]), 0);
    ledger.report(1, report([row('b:2', 1)]), 500);
    ledger.retain(new Set([upstreamKey('shop', 'b:2')]), new Set(['shop']));
    expect(requestsOf(ledger.upstreamTotal('shop', 'a:1'))).toBe(0);
    expect(requestsOf(ledger.poolTotal('shop'))).toBe(11);
    ledger.report(1, report([row('a:1', 2), row('b:2', 1)]), 1_000);
    expect(requestsOf(ledger.upstreamTotal('shop', 'a:1'))).toBe(2);
    expect(requestsOf(ledger.poolTotal('shop'))).toBe(13);
  });

  it('does not forget one that still finishes requests', () => {
    const ledger = new TrafficLedger();
    ledger.report(1, report([row('a:1', 10)]), 0);
    ledger.retain(new Set(), new Set(['shop']));
    expect(requestsOf(ledger.upstreamTotal('shop', 'a:1'))).toBe(10);
  });

  it('only ever grows, by exactly what workers counted, however they come and go', () => {
    const step = fc.record({
      worker: fc.integer({ min: 0, max: 2 }),
      requests: fc.integer({ min: 0, max: 20 }),
      dies: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const ledger = new TrafficLedger();
        const counted = [0, 0, 0];
        const generation = [0, 0, 0];
        let expected = 0;
        for (const [turn, { worker, requests, dies }] of steps.entries()) {
          if (dies) {
            ledger.workerGone(generation[worker]! * 3 + worker);
            generation[worker]! += 1;
            counted[worker] = 0;
          }
          counted[worker]! += requests;
          expected += requests;
          ledger.report(generation[worker]! * 3 + worker, report([row('a:1', counted[worker]!)]), turn * 500);
          expect(requestsOf(ledger.upstreamTotal('shop', 'a:1'))).toBe(expected);
          expect(countOf(ledger.poolTotal('shop').latency)).toBe(expected);
        }
      }),
    );
  });

  it('knows the last minute and the last moments', () => {
    const ledger = new TrafficLedger();
    for (let second = 0; second <= 100; second += 1) {
      // 10 requests a second for 80 seconds, then 50.
      const requests = second <= 80 ? second * 10 : 800 + (second - 80) * 50;
      ledger.report(1, report([row('a:1', requests)]), second * 1_000);
    }
    const moment = ledger.upstreamLately('shop', 'a:1', 100_000, 10_000);
    expect(requestsOf(moment.counters) / (moment.elapsedMs / 1_000)).toBeCloseTo(50);
    const minute = ledger.poolLately('shop', 100_000);
    expect(minute.elapsedMs).toBeGreaterThanOrEqual(60_000);
    expect(minute.elapsedMs).toBeLessThanOrEqual(65_000);
    expect(requestsOf(minute.counters)).toBeGreaterThanOrEqual(1_400);
    expect(ledger.upstreamLately('shop', 'unknown', 100_000)).toEqual(
      expect.objectContaining({ elapsedMs: 0 }),
    );
  });

  it('says who keeps an upstream out, and for how long', () => {
    const ledger = new TrafficLedger();
    ledger.report(1, report([row('a:1', 1, 0, { ejectedForMs: 9_000 })]), 0);
    ledger.report(2, report([row('a:1', 1)]), 0);
    expect(ledger.gauges('shop', 'a:1')).toMatchObject({ ejectedBy: 1, ejectedForMs: 9_000 });
  });

  it('bounds the codes that a defective worker could make up', () => {
    const ledger = new TrafficLedger();
    const refusals = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`made.up-${i}`, 1]));
    ledger.report(1, report([], { refusals }), 0);
    expect(ledger.refusals.size).toBeLessThanOrEqual(101);
    expect(ledger.refusals.get('other')).toBe(400);
  });
});
