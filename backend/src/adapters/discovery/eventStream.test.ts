import fc from 'fast-check';
import { expect, it } from 'vitest';

import { EventStreamReader, type ServerEvent } from './eventStream.js';

const TEXT =
  'retry: 2000\n\n: still here\n\nevent: a.b\nid: 1-2\ndata: {"x":1}\n\ndata: without a type\n\nevent: c\r\ndata:\r\n\r\nevent: ü\ndata: ö\n\n';
const EVENTS: ServerEvent[] = [
  { type: 'a.b', data: '{"x":1}' },
  { type: 'c', data: '' },
  { type: 'ü', data: 'ö' },
];

it('reads the same events wherever the chunks are cut', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(TEXT.length)), (cuts) => {
      const places = [0, ...cuts.toSorted((a, b) => a - b), TEXT.length];
      const events: ServerEvent[] = [];
      const reader = new EventStreamReader((event) => events.push(event));
      for (const [index, start] of places.entries()) reader.push(TEXT.slice(start, places[index + 1]));
      expect(events).toEqual(EVENTS);
    }),
  );
});

it('does not collect a line without an end for ever', () => {
  const reader = new EventStreamReader(() => undefined);
  expect(() => {
    for (let chunk = 0; chunk < 100; chunk += 1) reader.push('x'.repeat(10_000));
  }).toThrow('without an end');
});
