import { describe, expect, it } from 'vitest';
import { RequestHead } from '../http1/requestHead.js';
import { idLines, requestIdOf } from './requestIds.js';

const headWith = (fields: Partial<RequestHead>): RequestHead => Object.assign(new RequestHead(), fields);
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';

describe('a request id', () => {
  it('is new for every request', () => {
    const ids = new Set(Array.from({ length: 1_000 }, () => requestIdOf(new RequestHead(), false)));
    expect(ids.size).toBe(1_000);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
  });

  it('is taken from a trusted peer only, and only when it is well-formed', () => {
    expect(requestIdOf(headWith({ requestId: 'abc-1' }), true)).toBe('abc-1');
    expect(requestIdOf(headWith({ requestId: 'abc-1' }), false)).not.toBe('abc-1');
    for (const requestId of ['', 'a b', 'a"b', 'x'.repeat(129)]) {
      expect(requestIdOf(headWith({ requestId }), true)).toMatch(/^[0-9a-f]{32}$/);
    }
  });
});

describe('a traceparent', () => {
  it.each([`00-${TRACE}-${PARENT}-01`, `01-${TRACE}-${PARENT}-01-more`, `cc-${TRACE}-${PARENT}-00`])(
    'that is valid goes on as it came, and names the request: %s',
    (traceparent) => {
      const head = headWith({ traceparent });
      expect(requestIdOf(head, false)).toBe(TRACE);
      expect(idLines(head, TRACE)).toBe(`X-Request-Id: ${TRACE}\r\ntraceparent: ${traceparent}\r\n`);
    },
  );

  it.each([
    null,
    '',
    'x',
    `ff-${TRACE}-${PARENT}-01`,
    `00-${TRACE}-${PARENT}-01-more`,
    `00-${'0'.repeat(32)}-${PARENT}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE.toUpperCase()}-${PARENT}-01`,
  ])('that is not is made anew: %s', (traceparent) => {
    const head = headWith({ traceparent });
    const id = requestIdOf(head, false);
    expect(idLines(head, id)).toMatch(
      new RegExp(`^X-Request-Id: ${id}\\r\\ntraceparent: 00-${id}-[0-9a-f]{16}-00\\r\\n$`),
    );
  });
});
