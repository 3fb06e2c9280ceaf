import { expect, it } from 'vitest';
import { reachableUrl } from './reachable.js';

it.each([
  ['127.0.0.1', 'http://127.0.0.1:3000'],
  ['0.0.0.0', 'http://127.0.0.1:3000'],
  ['::', 'http://[::1]:3000'],
  ['fd00::7', 'http://[fd00::7]:3000'],
  ['shop.example', 'http://shop.example:3000'],
])('%s is reached at %s', (host, url) => {
  expect(reachableUrl(host, 3_000)).toBe(url);
});
