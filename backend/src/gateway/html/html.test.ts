import fc from 'fast-check';
import { expect, it } from 'vitest';

import { Html, html } from './html.js';

it('escapes what is put into a template, and not what came out of one', () => {
  const inner = html`<b>${'<script>"&\''}</b>`;
  expect(html`<p>${inner}${[html`<i></i>`, 'x & y']}${null}${7}</p>`.text).toBe(
    '<p><b>&lt;script&gt;&quot;&amp;&#39;</b><i></i>x &amp; y7</p>',
  );
});

it('never lets text end an attribute or begin an element', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const { text: page } = html`<a title="${text}">${text}</a>`;
      expect(page.match(/[<>"]/g)?.join('')).toBe('<""><>');
    }),
  );
});

it('takes trusted text as it is', () => {
  expect(html`${new Html('<hr>')}`.text).toBe('<hr>');
});
