import { describe, expect, it } from 'vitest';
import type { ManagedProcess } from '../model.js';
import { isToBlame, portDoubles } from './sharedPorts.js';

type Given = readonly [
  pmId: number,
  port: number | null,
  startedAtMs: number,
  more?: Partial<ManagedProcess>,
];
const listOf = (...given: readonly Given[]): readonly ManagedProcess[] =>
  given.map(([pmId, port, startedAtMs, more]) => ({
    service: 'web',
    pmId,
    port,
    startedAtMs,
    pid: 100 + pmId,
    status: 'online',
    mode: 'cluster',
    restarts: 0,
    createdAtMs: 0,
    killTimeoutMs: 1_600,
    ...more,
  }));
const WAITS: Partial<ManagedProcess> = { pid: null, status: 'waiting restart' };

describe('portDoubles', () => {
  it.each<readonly [what: string, given: readonly Given[], doubles: readonly string[]]>([
    ['none where each has its own', [[0, 1, 5], [1, 2, 5]], []], // prettier-ignore
    ['none where they listen on none', [[0, null, 5], [1, null, 5]], []], // prettier-ignore
    ['all but the first that was started', [[0, 1, 7], [1, 1, 5], [2, 1, 6]], ['2 of 1', '0 of 1']], // prettier-ignore
    ['the higher number of two that were started at once', [[1, 1, 5], [0, 1, 5]], ['1 of 0']], // prettier-ignore
    ['none of those that have ended', [[0, 1, 5, { pid: null, status: 'stopped' }], [1, 1, 6]], []], // prettier-ignore
    ['none beside one that is stopping', [[0, 1, 5, { status: 'stopping' }], [1, 1, 6]], []], // prettier-ignore
    ['what waits for its restart beside what runs', [[0, 1, 5, WAITS], [1, 1, 6]], ['0 of 1']], // prettier-ignore
    ['also of another service', [[0, 1, 5], [1, 1, 6, { service: 'api' }]], ['1 of 0']], // prettier-ignore
  ])('are %s', (_what, given, doubles) => {
    const found = portDoubles(listOf(...given));
    expect(found.map(({ process, holder }) => `${process.pmId} of ${holder.pmId}`)).toEqual(doubles);
  });
});

describe('one that ends while another program has its port', () => {
  it.each([
    ['was started again by PM2, of the same user', false, false, false],
    ['was started again by PM2, of another user', true, false, false],
    ['was just given a free port, of the same user', false, true, true],
    ['was just given a free port, of another user', true, true, false],
  ])('and %s', (_what, isOtherUser, wasGivenIt, toBlame) => {
    expect(isToBlame({ by: 'pid 1 (x)', isOtherUser }, wasGivenIt)).toBe(toBlame);
  });
});
