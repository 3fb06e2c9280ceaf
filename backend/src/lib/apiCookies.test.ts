import { expect, it } from 'vitest';
import { withoutApiCookies } from './apiCookies.js';

it.each([
  ['a=1; b=2', 'a=1; b=2'],
  ['holdfast_session=x', ''],
  ['__Host-holdfast_session=x', ''],
  ['a=1; holdfast_session=x; b=2', 'a=1; b=2'],
  ['holdfast_session=x; a=1', 'a=1'],
  ['a=1;holdfast_session=x;b=2', 'a=1;b=2'],
  ['a=1; holdfast_session=x; holdfast_session=y', 'a=1'],
  ['a=1;  __Host-holdfast_session = x', 'a=1'],
  ['my_holdfast_session=x', 'my_holdfast_session=x'],
  ['holdfast_session2=x', 'holdfast_session2=x'],
  ['a=holdfast_session', 'a=holdfast_session'],
  ['a="x; holdfast_session=y"', 'a="x'],
])('of %j %j goes on', (field, rest) => {
  expect(withoutApiCookies(field)).toBe(rest);
});
