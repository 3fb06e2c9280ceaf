import { expect, it } from 'vitest';
import { troubleText, type CheckedUpstream, type SourceWord } from './trouble.js';

const source = (state: SourceWord['state'], detail: string, reason: string | null = null): SourceWord => ({
  source: { name: 'supervisor' },
  state,
  detail,
  notes: { reason, faults: new Map() },
});
const failing = (id: string): CheckedUpstream => ({
  id,
  check: { atMs: 0, ok: false, latencyMs: 1, detail: 'connection refused' },
});

it.each<[what: string, sources: SourceWord[], upstreams: CheckedUpstream[], text: string | null]>([
  ['nothing is known', [source('live', '0 upstreams')], [], null],
  [
    'the source is away',
    [source('stale', 'supervisor: nothing listens at 127.0.0.1:3000')],
    [],
    'Source supervisor: nothing listens at 127.0.0.1:3000.',
  ],
  [
    'the source has just been asked',
    [source('stale', 'has not answered yet')],
    [],
    'Source supervisor: has not answered yet.',
  ],
  [
    'the source knows why',
    [source('live', '0 upstreams. …', 'api#0: GET /health answered 404. Set healthPath.')],
    [],
    'api#0: GET /health answered 404. Set healthPath.',
  ],
  [
    'upstreams fail their checks',
    [source('live', '4 upstreams')],
    ['a:1', 'b:1', 'c:1', 'd:1'].map(failing),
    'Checks failed at a:1: connection refused; b:1: connection refused; c:1: connection refused; and 1 more.',
  ],
  ['upstreams have not been checked', [], [{ id: 'a:1', check: null }], null],
])('%s', (_what, sources, upstreams, text) => {
  expect(troubleText(sources, upstreams)).toBe(text);
});
