/** The agent imports nothing of the rest, so it has its own copy of what the supervisor adds its counts up with. */
import { expect, it } from 'vitest';
import { createHistogram, LATENCY_BOUNDS_MS, record } from '../../backend/src/domain/statistics/histogram.js';

// The agent is CommonJS and another TypeScript project: its types can't be imported here.
const file = new URL('../../backend/src/agent/latency.ts', import.meta.url).href;
const agent = (await import(file)) as {
  LATENCY_BOUNDS_MS: readonly number[];
  LATENCY_BUCKETS: number;
  bucketOf(elapsedMs: number): number;
};

it('has the same bounds in the agent and in the supervisor', () => {
  expect(agent.LATENCY_BOUNDS_MS).toEqual(LATENCY_BOUNDS_MS);
  expect(agent.LATENCY_BUCKETS).toBe(createHistogram().counts.length);
});

it('puts every time into the same bucket', () => {
  for (const bound of [0, ...LATENCY_BOUNDS_MS]) {
    for (const elapsedMs of [bound, bound * 1.01]) {
      const histogram = createHistogram();
      record(histogram, elapsedMs);
      expect(histogram.counts[agent.bucketOf(elapsedMs)]).toBe(1);
    }
  }
});
