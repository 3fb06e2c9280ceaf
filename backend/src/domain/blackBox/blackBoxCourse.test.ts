/** What came of it, told by the events of the service. */
import { describe, expect, it } from 'vitest';
import { beginCourse, followed, givenUp } from './blackBoxCourse.js';
import type { Course } from './blackBoxCourse.js';
import type { EventMap, EventRecord, EventType } from '../events.js';

const SERVICE = 'api';
const subject = { pmId: 1, pid: 101, detail: 'HTTP 503' };

function event<T extends EventType>(type: T, data: EventMap[T]): EventRecord {
  return { seq: 1, type, at: '2026-01-02T03:04:05.678Z', service: SERVICE, data } as EventRecord;
}

const ref = (pmId: number, pid = 100 + pmId) => ({ pmId, pid, port: 13_000 + pmId });
const starts = (pmId: number, replaces?: number) =>
  event('instance.started', {
    service: SERVICE,
    instance: ref(pmId),
    why: 'why',
    ...(replaces === undefined ? {} : { replaces }),
  });
const serves = (pmId: number, pid?: number) =>
  event('instance.serving', { service: SERVICE, instance: ref(pmId, pid), afterMs: 1 });
const stops = (pmId: number, pid?: number) =>
  event('instance.stopped', { service: SERVICE, instance: ref(pmId, pid), why: 'why', tookMs: 1 });
const quarantined = (pmId: number) =>
  event('instance.quarantined', { service: SERVICE, instance: ref(pmId), attempts: 3, detail: 'x' });
const trialFailed = (detail: string) =>
  event('service.trialFailed', { service: SERVICE, detail, nextTrialMs: 1 });

/** Events 100 ms apart. */
function play(course: Course, ...events: readonly EventRecord[]): Course {
  return events.reduce((now, each, index) => followed(now, each, 100 * (index + 1)), course);
}

const unfit = beginCourse(subject, false);
const dead = beginCourse(subject, true);

describe('an unfit instance', () => {
  it('is replaced once its replacement serves and it has ended, in whichever order', () => {
    const expected = { kind: 'replaced', byPmId: 5, servingAfterMs: 200, endedAfterMs: 300 };
    expect(play(unfit, starts(5, 1), serves(5), stops(1)).outcome).toEqual(expected);
    expect(play(unfit, starts(5, 1), stops(1), serves(5)).outcome).toMatchObject({
      kind: 'replaced',
      servingAfterMs: 300,
      endedAfterMs: 200,
    });
  });

  it('is not replaced by whoever replaces another one, or only fills a gap', () => {
    expect(play(unfit, starts(5, 2), serves(5), stops(1)).outcome).toBeNull();
    expect(play(unfit, starts(5), serves(5), stops(1)).outcome).toBeNull();
  });

  it('is replaced by whoever fills the gap that it left by dying', () => {
    expect(play(unfit, stops(1), starts(5), serves(5)).outcome).toMatchObject({
      kind: 'replaced',
      byPmId: 5,
    });
  });

  it('recovers when the same process serves again, and is restarted when another one does', () => {
    expect(play(unfit, serves(2), serves(1)).outcome).toEqual({ kind: 'recovered', afterMs: 200 });
    expect(play(unfit, serves(1, 999)).outcome).toEqual({ kind: 'restarted', servingAfterMs: 100 });
  });

  it('is quarantined when its number is, or when the trial that it was has failed for this very reason', () => {
    expect(play(unfit, quarantined(2)).outcome).toBeNull();
    expect(play(unfit, quarantined(1)).outcome).toEqual({ kind: 'quarantined', afterMs: 100 });
    expect(play(unfit, trialFailed('other')).outcome).toBeNull();
    expect(play(unfit, trialFailed('HTTP 503')).outcome).toEqual({ kind: 'quarantined', afterMs: 100 });
  });

  it('is told apart from a process that had its number before', () => {
    expect(play(unfit, stops(1, 77)).endedAfterMs).toBeNull();
  });
});

describe('one that had ended', () => {
  it('is restarted when its number serves again, whatever the pid', () => {
    expect(play(dead, serves(1, 999)).outcome).toEqual({ kind: 'restarted', servingAfterMs: 100 });
    expect(play(dead, serves(1)).outcome).toEqual({ kind: 'restarted', servingAfterMs: 100 });
  });

  it('is replaced by whoever fills its gap', () => {
    expect(play(dead, starts(5), serves(5)).outcome).toEqual({
      kind: 'replaced',
      byPmId: 5,
      servingAfterMs: 200,
      endedAfterMs: 0,
    });
  });
});

it('nothing changes an outcome', () => {
  const done = play(unfit, serves(1));
  expect(play(done, starts(5, 1), serves(5), stops(1), quarantined(1))).toBe(done);
  expect(givenUp(done, 9_000)).toEqual({ kind: 'recovered', afterMs: 100 });
});

it('what nobody watches any longer either ended or is unsettled', () => {
  expect(givenUp(unfit, 9_000)).toEqual({ kind: 'unsettled', watchedMs: 9_000 });
  expect(givenUp(play(unfit, stops(1)), 9_000)).toEqual({ kind: 'ended', afterMs: 100 });
});
