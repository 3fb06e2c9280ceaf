/**
 * A page of a few sentences, for people in front of a browser. Without scripts and without other files, so that it is
 * there when little else is.
 */
import { createHash } from 'node:crypto';

export type Tone = 'up' | 'degraded' | 'down';

export interface PlainPage {
  readonly title: string;
  /** null: the headline has no sign of how things are. */
  readonly tone: Tone | null;
  /** HTML between headline and end; what comes from outside goes through `escaped`. */
  readonly body: string;
  /** Seconds after which the browser loads it again; null: it stays. */
  readonly refreshSeconds: number | null;
}

const STYLE = `
:root { color-scheme: light dark; --bg: #f7f6f2; --text: #23241f; --muted: #5f6157; --up: #1d6b4f; --degraded: #b07410; --down: #a3282a; }
@media (prefers-color-scheme: dark) {
  :root { --bg: #161815; --text: #eceee6; --muted: #a6aa9d; --up: #7fd1ae; --degraded: #f0b661; --down: #ff9d95; }
}
body { margin: 0; min-height: 100vh; display: grid; place-content: center; padding: 24px; box-sizing: border-box;
  background: var(--bg); color: var(--text); font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; }
h1 { display: flex; align-items: center; gap: 14px; margin: 0; font-size: clamp(1.4rem, 5vw, 2rem); line-height: 1.25; }
main { max-width: 40rem; }
p { margin: 8px 0 0; color: var(--muted); overflow-wrap: anywhere; }
ul { margin: 16px 0 0; padding: 0; list-style: none; }
li { margin-top: 6px; color: var(--muted); }
a { color: var(--up); text-underline-offset: 2px; }
code { font: 0.95em ui-monospace, Menlo, Consolas, monospace; color: var(--text); }
.shape { flex: none; width: 20px; height: 20px; background: var(--up); border-radius: 50%; }
.degraded { background: var(--degraded); border-radius: 0; clip-path: polygon(50% 0, 100% 100%, 0 100%); }
.down { background: var(--down); border-radius: 0; }
`;

/** For the answer with such a page: nothing is loaded or run but the style in it. */
export const PLAIN_PAGE_POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

export function renderPlainPage({ title, tone, body, refreshSeconds }: PlainPage): string {
  const sign = tone === null ? '' : `<span class="shape ${tone}" aria-hidden="true"></span>`;
  const refresh = refreshSeconds === null ? '' : `<meta http-equiv="refresh" content="${refreshSeconds}">\n`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
${refresh}<title>${escaped(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${sign}${escaped(title)}</h1>
${body}
</main>
</body>
</html>
`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}

/** `wordpecker-backend` → `Wordpecker backend`. */
export function plainName(service: string): string {
  return service.charAt(0).toUpperCase() + service.slice(1).replaceAll('-', ' ');
}
