import { expect, it } from 'vitest';
import { endsHere, maxForwardsLine } from './maxForwards.js';
import { RequestHead } from '../http1/requestHead.js';

function head(method: string, maxForwards: string | null): RequestHead {
  return Object.assign(new RequestHead(), { method, maxForwards });
}

it.each([
  ['OPTIONS', '3', 'Max-Forwards: 2\r\n'],
  ['OPTIONS', '1', 'Max-Forwards: 0\r\n'],
  ['OPTIONS', '9999999999', 'Max-Forwards: 255\r\n'],
  ['OPTIONS', null, ''],
  // Not a number: not ours to judge.
  ['OPTIONS', '-1', 'Max-Forwards: -1\r\n'],
  ['OPTIONS', 'many', 'Max-Forwards: many\r\n'],
  // It means nothing there, and zero least of all.
  ['GET', '0', 'Max-Forwards: 0\r\n'],
  ['POST', '7', 'Max-Forwards: 7\r\n'],
])('%s with Max-Forwards %s goes on with %j', (method, value, line) => {
  expect(endsHere(head(method, value))).toBe(false);
  expect(maxForwardsLine(head(method, value))).toBe(line);
});

it.each(['0', '00'])('an OPTIONS with Max-Forwards %s ends here', (value) => {
  expect(endsHere(head('OPTIONS', value))).toBe(true);
});
