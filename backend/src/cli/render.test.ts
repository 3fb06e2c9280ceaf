import { expect, it } from 'vitest';
import { blackBoxLines, clockTime, eventLine } from './render.js';

const entry = {
  id: 'words-1-2026-01-02T03-04-05.678Z',
  service: 'words',
  pmId: 1,
  at: '2026-01-02T03:04:05.678Z',
  cause: 'hung',
  detail: 'blocked for 1.0 s in spin (/app/words.js:3:1)',
  outcome: 'replaced',
  bytes: 1,
  files: [],
} as const;

it('a failure reads in a line that ends with the id under which more is kept', () => {
  const time = clockTime(entry.at);
  expect(blackBoxLines([entry], 3)).toEqual([
    `${time}  words#1  hung: blocked for 1.0 s in spin (/app/words.js:3:1); replaced  ${entry.id}`,
  ]);
  expect(blackBoxLines([{ ...entry, outcome: null }], 3)[0]).toContain('; outcome not known  words-1-');
  const many = Array.from({ length: 5 }, (_, pmId) => ({ ...entry, pmId }));
  expect(blackBoxLines(many, 2).map((line) => line.slice(time.length + 2, time.length + 9))).toEqual([
    'words#3',
    'words#4',
  ]);
});

it('an event names its black box', () => {
  const line = eventLine({
    seq: 1,
    type: 'instance.unfit',
    at: entry.at,
    service: 'words',
    data: {
      service: 'words',
      instance: { pmId: 1, pid: 7, port: 13_004 },
      cause: 'hung',
      detail: 'blocked',
      blackBox: entry.id,
    },
  });
  expect(line).toBe(
    `${clockTime(entry.at)}  instance.unfit  words  instance=#1:13004 cause=hung detail=blocked blackBox=${entry.id}`,
  );
});
