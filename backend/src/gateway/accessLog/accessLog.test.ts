import { beforeEach, describe, expect, it } from 'vitest';

import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import type { RequestRecord } from '../shared/requestRecord.js';
import { AccessLog, MOST_WAITING_CHARACTERS } from './accessLog.js';

const record = (target = '/'): RequestRecord => ({
  method: 'GET',
  target,
  version: '1.1',
  host: 'a.example',
  lines: '',
  clientAddress: '203.0.113.9',
  requestId: 'id',
  status: 200,
  bodyBytes: 1,
  durationMs: 1,
  upstream: null,
  attempts: 1,
  code: '',
});

let clock: FakeClock;
let batches: string[];
beforeEach(() => {
  clock = new FakeClock();
  batches = [];
});

function openLog(sample = 1, random: () => number = () => 0.5): AccessLog {
  return new AccessLog({ format: 'json', sample, clock, random, send: (batch) => void batches.push(batch) });
}
const pathsOf = (batch: string): string[] => batch.split('\n').map((line) => JSON.parse(line).path);

describe('AccessLog', () => {
  it('sends the lines of a moment together', async () => {
    const log = openLog();
    for (const path of ['/a', '/b', '/c']) log.record(record(path));
    expect(batches).toEqual([]);
    await clock.advance(200);
    expect(batches.map(pathsOf)).toEqual([['/a', '/b', '/c']]);
  });

  it('has one batch under way at a time, and keeps the order', async () => {
    const log = openLog();
    log.record(record('/1'));
    await clock.advance(200);
    log.record(record('/2'));
    await clock.advance(5_000);
    expect(batches).toHaveLength(1);
    log.taken();
    await clock.advance(200);
    expect(batches.map(pathsOf)).toEqual([['/1'], ['/2']]);
  });

  it('sends a full batch without waiting', () => {
    const log = openLog();
    for (let i = 0; i < 1_000; i += 1) log.record(record(`/${'x'.repeat(100)}`));
    expect(batches).toHaveLength(1);
    expect(batches[0]!.length).toBeLessThan(65 * 1024);
    log.taken();
    expect(batches).toHaveLength(2);
  });

  it('bounds what waits for a primary that does not take it, and counts what it drops', () => {
    const log = openLog();
    const target = `/${'x'.repeat(1_000)}`;
    for (let i = 0; i < 3_000; i += 1) log.record(record(target));
    expect(log.dropped).toBeGreaterThan(1_500);
    log.taken();
    expect(batches[1]!.length).toBeLessThanOrEqual(MOST_WAITING_CHARACTERS);
    const sent = batches.flatMap((batch) => batch.split('\n')).length;
    expect(sent + log.dropped).toBe(3_000);
  });

  it('logs its share of requests', () => {
    let turn = 0;
    const log = openLog(0.25, () => (turn++ % 100) / 100);
    for (let i = 0; i < 400; i += 1) log.record(record());
    log.flush();
    expect(batches.flatMap((batch) => batch.split('\n'))).toHaveLength(100);
  });

  it('gives everything away when the worker ends, and waits until it has arrived', async () => {
    const log = openLog();
    log.record(record('/1'));
    await clock.advance(200);
    log.record(record('/2'));
    let closed = false;
    const closing = log.close().then(() => (closed = true));
    expect(batches.map(pathsOf)).toEqual([['/1'], ['/2']]);
    log.taken();
    await clock.advance(0);
    expect(closed).toBe(false);
    log.taken();
    await closing;
  });

  it('does not wait for a primary that is gone', async () => {
    const log = openLog();
    log.record(record());
    const closing = log.close();
    await clock.advance(500);
    await closing;
    await openLog().close();
  });
});
