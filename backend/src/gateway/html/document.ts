/**
 * A whole page from its parts. Style and script are files beside (assets/), put into the page itself: one request
 * shows it, no other path of the gateway is taken from the application, and a page never meets the style of another
 * version. The content security policy names both by their hash and allows nothing else. A page that does not keep
 * itself up to date has no script.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { Html, html } from './html.js';

interface Assets {
  /** The whole element: between its tags must be what the policy's hash was made of, to the byte. */
  readonly style: Html;
  readonly script: Html | null;
  readonly policy: string;
  /** Changes with style or script: an open page of another build reloads itself. */
  readonly build: string;
}

export interface PageKind {
  readonly assets: Assets;
  readonly title: string;
  /** Seconds after which a browser without scripts loads the page again; null: the page stays as it is. */
  readonly refreshSeconds: number | null;
}

/**
 * @param name of the files in assets/: `<name>.css` after `base.css`, and `<name>.js` after `base.js`.
 * @param refreshSeconds null: the page has no script and stays as it is.
 * @param formAction where its forms may go, as the policy says it.
 */
export function loadPageKind(
  name: string,
  title: string,
  refreshSeconds: number | null,
  formAction = "'none'",
): PageKind {
  const style = readAsset('base.css') + readAsset(`${name}.css`);
  const script = refreshSeconds === null ? '' : readAsset('base.js') + readAsset(`${name}.js`);
  const assets: Assets = {
    style: new Html(`<style>${style}</style>`),
    script: script === '' ? null : new Html(`<script>${script}</script>`),
    policy: [
      "default-src 'none'",
      `style-src '${hashOf(style)}'`,
      ...(script === '' ? [] : [`script-src '${hashOf(script)}'`, "connect-src 'self'"]),
      'img-src data:',
      "base-uri 'none'",
      `form-action ${formAction}`,
      "frame-ancestors 'none'",
    ].join('; '),
    build: createHash('sha256').update(style).update(script).digest('hex').slice(0, 12),
  };
  return { assets, title, refreshSeconds };
}

/** @param title where it is not the same for every page of the kind. */
export function renderDocument(kind: PageKind, body: Html, title = kind.title): string {
  const { assets, refreshSeconds } = kind;
  const refresh =
    refreshSeconds === null
      ? null
      : html`<noscript><meta http-equiv="refresh" content="${refreshSeconds}" /></noscript>`;
  const page = html`<!doctype html>
    <html lang="en" data-build="${assets.build}">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="robots" content="noindex" />
        <title>${title}</title>
        <link rel="icon" href="${ICON}" />
        ${assets.style} ${refresh}
      </head>
      <body>
        ${body} ${assets.script}
      </body>
    </html> `;
  return page.text;
}

/** A bollard with a rope around it: what holds fast. */
export const MARK = html`<svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
  <path d="M10 4h12v5h-2v15h4v4H8v-4h4V9h-2z" />
  <path class="rope" d="M8 14c5 3.5 11 3.5 16 0M8 19c5 3.5 11 3.5 16 0" fill="none" />
</svg>`;

const ICON = `data:image/svg+xml,${encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path fill="#2f6f8f" d="M10 4h12v5h-2v15h4v4H8v-4h4V9h-2z"/><path fill="none" stroke="#e0a030" stroke-width="2.5" d="M8 14c5 3.5 11 3.5 16 0M8 19c5 3.5 11 3.5 16 0"/></svg>',
)}`;

function readAsset(file: string): string {
  return readFileSync(new URL(`./assets/${file}`, import.meta.url), 'utf8');
}

function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}
