/** What this API is: its OpenAPI document, and an index for people. */
import { createHash } from 'node:crypto';
import { openApiDocument } from '../openapi.js';
import { ok, route } from '../route.js';
import type { Reply, Route, RouteDoc } from '../route.js';

const TITLES: Readonly<Record<RouteDoc['tag'], string>> = {
  operations: 'Operations',
  insight: 'Insight',
  session: 'Session',
  process: 'For other machines',
};

const STYLE = `:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}td{padding:.3rem .5rem;border-top:1px solid #8884;vertical-align:top}
td:first-child{width:4rem}td:nth-child(2){width:20rem}code{overflow-wrap:anywhere}
@media (max-width:40rem){tr{display:block;border-top:1px solid #8884;padding:.3rem 0}td{display:inline-block;border:0;padding:0 .5rem 0 0}
td:first-child,td:nth-child(2){width:auto}td:last-child{display:block}}`;

const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');

/** @param routes every other route; the two of this file are added to the document. */
export function documentRoutes(routes: readonly Route[], version: string): Route[] {
  const home: Route = route({
    method: 'get',
    path: '/',
    tag: 'process',
    summary: 'All calls',
    description: 'HTML for browsers, JSON for everything else.',
    answers: {
      200: { description: 'The list.', contentTypes: ['text/html; charset=utf-8', 'application/json'] },
    },
    handle: (_input, { request }) =>
      request.accepts(['json', 'html']) === 'html' ? page(all, version) : ok(listing(all, version)),
  });
  const openApi: Route = route({
    method: 'get',
    path: '/openapi.json',
    tag: 'process',
    summary: 'This API as an OpenAPI 3.1 document',
    answers: { 200: { description: 'The document.', contentTypes: ['application/json; charset=utf-8'] } },
    handle: (): Reply => ({ kind: 'text', contentType: 'application/json; charset=utf-8', text: document() }),
  });
  const all: readonly Route[] = [...routes, home, openApi];
  let written: string | null = null;
  // Rarely asked for and never different: built on first use.
  const document = (): string => (written ??= JSON.stringify(openApiDocument(all, version)));
  return [home, openApi];
}

function listing(routes: readonly Route[], version: string) {
  return {
    name: 'Holdfast',
    version,
    calls: routes.map(({ method, path, summary }) => ({ method: method.toUpperCase(), path, summary })),
  };
}

function page(routes: readonly Route[], version: string): Reply {
  const sections = Object.entries(TITLES).map(([tag, title]) => {
    const rows = routes.filter((each) => each.tag === tag).map(row);
    return `<h2>${title}</h2>\n<table>\n${rows.join('\n')}\n</table>`;
  });
  return {
    kind: 'text',
    contentType: 'text/html; charset=utf-8',
    headers: {
      'Content-Security-Policy': `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
      Vary: 'Accept',
    },
    text: `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Holdfast</title><style>${STYLE}</style></head>
<body>
<h1>Holdfast ${escape(version)}</h1>
<p>The control API of this machine's supervisor. In full: <a href="/openapi.json">/openapi.json</a>.</p>
${sections.join('\n')}
</body>
</html>
`,
  };
}

function row({ method, path, summary }: RouteDoc): string {
  const shown = escape(path);
  const link = method === 'get' && !path.includes(':') ? `<a href="${shown}">${shown}</a>` : shown;
  return `<tr><td>${method.toUpperCase()}</td><td><code>${link}</code></td><td>${escape(summary)}</td></tr>`;
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
