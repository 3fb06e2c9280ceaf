/** What the main thread leaves in shared memory, and what the supervisor gets to see of it. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FiguresReader } from './figures.js';
import { bucketOf } from './latency.js';
import { viewMainThread } from './mainThread.js';
import { add, METHODS, PATH_BYTES, RECENT, RECENT_FIELDS, sharedMemory, SLOT } from './memory.js';

let nowMs = 0;
const clock = (): number => nowMs;

let memory: ReturnType<typeof sharedMemory>;
let reader: FiguresReader;

beforeEach(() => {
  nowMs = 1_000;
  memory = sharedMemory();
  reader = new FiguresReader(memory, nowMs, clock);
});
afterEach(() => {
  expect(memory.breadcrumbs.text.some((byte) => byte !== 0)).toBe(false); // nothing writes over its neighbour
});

/** The loop comes round after `elapsedMs`, of which it was idle for `idleMs`. */
function beat(elapsedMs: number, idleMs: number, lateMs = 0): void {
  const { numbers, delays } = memory;
  nowMs += elapsedMs;
  delays[numbers[SLOT.beats]! % delays.length] = lateMs;
  add(numbers, SLOT.beats, 1);
  add(numbers, SLOT.idleMs, idleMs);
  numbers[SLOT.beatAtMs] = nowMs;
}

it('tells what it does not know as null', () => {
  expect(reader.next(0)).toMatchObject({
    seq: 1,
    delayP50Ms: null,
    heapUsedBytes: null,
    liveHeapBytes: null,
    externalBytes: null,
    oldestUnansweredMs: null,
    sinceFinishedMs: null,
    finished: 0,
    latency: [],
  });
});

it('tells the utilisation of the time since the figures before', () => {
  for (let beats = 0; beats < 5; beats += 1) beat(50, 40);
  expect(reader.next(0).elu).toBe(0.2);
  beat(50, 5);
  expect(reader.next(0).elu).toBe(0.9);
});

it('counts the time of a loop that does not come round as busy, and none of it twice', () => {
  beat(50, 50);
  expect(reader.next(0).elu).toBe(0);
  nowMs += 500;
  expect(reader.next(0)).toMatchObject({ elu: 1, beatAgeMs: 500, delayMaxMs: 450 });
  beat(100, 0, 550);
  beat(50, 50);
  beat(50, 50);
  expect(reader.next(0).elu).toBe(0.5); // 100 ms of the block were left, then 100 ms idle
});

it('tells the delay of the heartbeats since the figures before', () => {
  for (const lateMs of [1, 2, 3, 4, 30]) beat(50, 0, lateMs);
  expect(reader.next(0)).toMatchObject({ delayP50Ms: 3, delayP99Ms: 30, delayMaxMs: 30 });
  beat(50, 0, 0.26);
  expect(reader.next(0)).toMatchObject({ delayP50Ms: 0.3, delayP99Ms: 0.3, delayMaxMs: 0.3 });
});

it('sends latencies as what was added, sparse', () => {
  add(memory.latency, bucketOf(3), 2);
  add(memory.latency, bucketOf(1e9), 1);
  add(memory.numbers, SLOT.latencySumMs, 6.04);
  expect(reader.next(0)).toMatchObject({ latency: [bucketOf(3), 2, bucketOf(1e9), 1], latencySumMs: 6 });
  add(memory.latency, bucketOf(3), 1);
  expect(reader.next(0).latency).toEqual([bucketOf(3), 1]);
});

it('lets the age of the oldest request grow while nobody writes it', () => {
  memory.numbers[SLOT.oldestUnansweredAtMs] = nowMs - 100;
  nowMs += 400;
  expect(reader.next(0).oldestUnansweredMs).toBe(500);
});

it('goes on counting where another thread left off', () => {
  reader.next(0);
  reader.next(0);
  expect(new FiguresReader(memory, nowMs, clock).next(0).seq).toBe(3);
});

it('adds up what both threads left out', () => {
  add(memory.numbers, SLOT.dropped, 2);
  expect(reader.next(3).dropped).toBe(5);
});

it('shows the requests under way: oldest first, ten at most', () => {
  const { recent, paths, numbers } = memory;
  for (let number = 0; number < RECENT + 20; number += 1) {
    const place = number % RECENT;
    recent.set([nowMs, number % METHODS.length, number % 2], place * RECENT_FIELDS);
    const start = place * (PATH_BYTES + 1);
    paths[start] = paths.write(`/r/${number}`, start + 1, PATH_BYTES, 'latin1');
    add(numbers, SLOT.begun, 1);
  }
  nowMs += 7;
  const requests = viewMainThread(memory, 0, clock).requests();
  expect(requests).toHaveLength(10);
  expect(requests[0]).toEqual({ method: METHODS[20 % METHODS.length], path: '/r/20', ageMs: 7 });
});
