import { expect, it } from 'vitest';
import { TokenCheck } from './tokenCheck.js';

it.each([
  ['s3cret-t0ken', true],
  ['s3cret-t0ke', false],
  ['s3cret-t0kenx', false],
  ['S3CRET-T0KEN', false],
  ['', false],
])('takes %j for the token: %s', (shown, isRight) => {
  expect(new TokenCheck('s3cret-t0ken').isRight(shown)).toBe(isRight);
});
