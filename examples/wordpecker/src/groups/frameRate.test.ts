import { describe, expect, it } from 'vitest';
import { EnvReader } from '../lib/env.js';
import { FrameBucket, readFrameRate } from './frameRate.js';

describe('WSSendQPS and WSSendBurst', () => {
  it.each([
    [{}, null],
    [{ WSSendQPS: '5' }, { perSecond: 5, burst: 5 }],
    [{ WSSendBurst: '7' }, { perSecond: 7, burst: 7 }],
    [
      { WSSendQPS: '5', WSSendBurst: '20' },
      { perSecond: 5, burst: 20 },
    ],
    [
      { WSSendQPS: '5', WSSendBurst: '0' },
      { perSecond: 5, burst: 5 },
    ],
    [{ WSSendQPS: '0', WSSendBurst: '20' }, null],
    // As written, and not otherwise.
    [{ WSSENDQPS: '5', wssendburst: '5' }, null],
  ])('%j', (env, rate) => {
    const reader = new EnvReader(env);
    expect(readFrameRate(reader)).toEqual(rate);
    reader.finish();
  });

  it.each(['many', '-1', '1.5'])('%s is refused', (WSSendQPS) => {
    const reader = new EnvReader({ WSSendQPS });
    readFrameRate(reader);
    expect(() => reader.finish()).toThrow('WSSendQPS');
  });
});

it('a bucket gives its burst at once, and then its rate', () => {
  const bucket = new FrameBucket({ perSecond: 10, burst: 3 }, 0);
  const takeAll = (nowMs: number): number => {
    let taken = 0;
    while (bucket.take(nowMs)) taken += 1;
    return taken;
  };
  expect([takeAll(0), takeAll(99), takeAll(100), takeAll(300), takeAll(60_000)]).toEqual([3, 0, 1, 2, 3]);
});
