import { describe, expect, it } from 'vitest';
import { sharedMemory, SLOT } from './memory.js';

describe('shared memory', () => {
  it('has a place for every number, and none for two', () => {
    const statuses = [16, 17, 18, 19, 20];
    const places = [...Object.values(SLOT).filter((place) => place !== SLOT.statuses), ...statuses];
    expect(SLOT.statuses).toBe(statuses[0]);
    expect(new Set(places).size).toBe(places.length);
    expect(Math.max(...places)).toBeLessThan(sharedMemory().numbers.length);
  });

  it('is the same memory in both threads, and its parts do not overlap', () => {
    const writer = sharedMemory();
    const reader = sharedMemory(writer.buffer);
    const parts = [writer.numbers, writer.delays, writer.latency, writer.recent, writer.breadcrumbs.state];
    parts.forEach((part, i) => part.fill(i + 1));
    writer.paths.fill(77);
    writer.breadcrumbs.text.fill(88);
    const seen = [reader.numbers, reader.delays, reader.latency, reader.recent, reader.breadcrumbs.state];
    seen.forEach((part, i) => expect([...new Set(part)]).toEqual([i + 1]));
    expect([...new Set(reader.paths)]).toEqual([77]);
    expect([...new Set(reader.breadcrumbs.text)]).toEqual([88]);
  });
});
