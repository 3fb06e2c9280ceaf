import fc from 'fast-check';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { inspect } from 'node:util';
import { expect, it } from 'vitest';
import { UnderWayList, type Begun } from './underWay.js';

// The list looks at neither: any objects will do.
const REQUEST = {} as IncomingMessage;
const responseNamed = (name: number): ServerResponse => ({ name }) as unknown as ServerResponse;
const begun = (response: ServerResponse, number: number): Begun => ({
  request: REQUEST,
  response,
  startedAtMs: 0,
  number,
  isTimed: true,
});
const numbersIn = (list: UnderWayList): number[] => [...list].map(({ number }) => number);

it('is what an array would be, whatever is added and removed', () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.nat(20))), (steps) => {
      const list = new UnderWayList();
      const responses: ServerResponse[] = [];
      let expected: number[] = [];
      for (const removed of steps) {
        if (removed === null) {
          const response = responseNamed(responses.length);
          expected.push(responses.length);
          list.add(begun(response, responses.length));
          responses.push(response);
        } else {
          const response = responses[removed];
          const found = response === undefined ? null : list.find(response);
          expect(found?.number).toBe(expected.find((number) => number === removed));
          if (found !== null) list.remove(found);
          expected = expected.filter((number) => number !== removed);
        }
        expect(numbersIn(list)).toEqual(expected);
        expect(list.size).toBe(expected.length);
      }
    }),
  );
});

it('may lose the one that it has just given', () => {
  const list = new UnderWayList();
  for (let number = 0; number < 4; number += 1) list.add(begun(responseNamed(number), number));
  const seen = [];
  for (const underWay of list) {
    seen.push(underWay.number);
    list.remove(underWay);
  }
  expect(seen).toEqual([0, 1, 2, 3]);
  expect(list.size).toBe(0);
});

it('leaves nothing to be seen on a response, frozen or not', () => {
  const list = new UnderWayList();
  for (const response of [responseNamed(1), Object.freeze(responseNamed(1))]) {
    list.add(begun(response, 1));
    expect(list.find(response)?.number).toBe(1);
    expect(Reflect.ownKeys(response)).toEqual(['name']);
    expect(inspect(response, { showHidden: true })).toBe('{ name: 1 }');
    expect(list.find({ ...response } as ServerResponse)).toBeNull();
  }
});
