import { expect, it } from 'vitest';
import { visible, visibleJson } from './visible.js';

it.each([
  ['turns the direction', 'shop\u202egpj', 'shop<U+202E>gpj'],
  ['isolates a direction', 'a\u2066b\u2069', 'a<U+2066>b<U+2069>'],
  ['is an Arabic mark', 'a\u061cb', 'a<U+061C>b'],
  ['has no width', 'sh\u200bop\u200d\ufeff', 'sh<U+200B>op<U+200D><U+FEFF>'],
  ['is a soft hyphen', 'sh\u00adop', 'sh<U+00AD>op'],
  ['is a tag', 'a\u{e0041}', 'a<U+E0041>'],
  ['breaks a line in another way', 'a\u2028b', 'a<U+2028>b'],
  ['is a letter that looks like nothing', 'a\u3164b', 'a<U+3164>b'],
])('writes out what %s', (_what, text, shown) => {
  expect(visible(text)).toBe(shown);
  const json = visibleJson(JSON.stringify({ text }));
  expect(JSON.parse(json)).toEqual({ text });
  expect(visible(json)).toBe(json);
});

it.each(['größe 日本 привет مرحبا שלום', 'a b\tc\n', '👍🏽'])('leaves text of any language: %s', (text) => {
  expect(visible(text)).toBe(text);
});
