import { describe, expect, it } from 'vitest';
import { acceptIn, prefersPage } from './accept.js';

const CHROME =
  'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7';

describe('prefersPage', () => {
  it.each([
    ['Chrome', CHROME],
    ['Firefox', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'],
    ['Internet Explorer', 'text/html, application/xhtml+xml, */*'],
    ['Lynx', 'text/html, text/plain, text/sgml, text/css, application/xhtml+xml, */*;q=0.01'],
    ['curl that asks for a page', 'text/html'],
    ['any text', 'text/*'],
    ['JSON as the second choice', 'text/html, application/json;q=0.9'],
    ['other letters', 'Text/HTML;Q=0.9, */*;q=0.5'],
  ])('is true for %s', (_who, accept) => expect(prefersPage(accept)).toBe(true));

  it.each([
    ['no Accept', null],
    ['an empty one', ''],
    ['curl and fetch()', '*/*'],
    ['axios', 'application/json, text/plain, */*'],
    ['jQuery', 'application/json, text/javascript, */*; q=0.01'],
    ['an API client that takes pages as well', 'application/json, text/html;q=0.9'],
    ['no preference', 'text/html, application/json'],
    ['an image', 'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8'],
    ['no HTML at all', 'text/html;q=0, */*'],
    ['HTML as the last choice', 'text/html;q=0.1, */*'],
    ['a weight that is none', 'text/html;q=x'],
    ['plain text', 'text/plain'],
  ])('is false for %s', (_who, accept) => expect(prefersPage(accept)).toBe(false));
});

describe('acceptIn', () => {
  it.each([
    ['GET / HTTP/1.1\r\nHost: a\r\naccept:  text/html \r\nx: y\r\n', 'text/html'],
    ['Accept: a/b\r\nCookie: accept: no\r\nACCEPT: c/d\r\n', 'a/b,c/d'],
    ['GET /accept:x HTTP/1.1\r\nX-Accept: no\r\nAccept-Language: de\r\n', null],
    ['', null],
  ])('reads %j', (text, value) => expect(acceptIn(text)).toBe(value));
});
