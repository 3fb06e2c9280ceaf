/**
 * `/status.html`: how this service fares, for everybody who uses it. It says nothing of how the service is run: no
 * names of what it depends on, no versions, no addresses. Without scripts and without other files, so that it is
 * there when little else is.
 */
import { createHash } from 'node:crypto';

export type ServiceState = 'healthy' | 'degraded' | 'unhealthy' | 'draining';

const WORDS: Readonly<Record<ServiceState, { readonly headline: string; readonly tone: string }>> = {
  healthy: { headline: 'is working', tone: 'up' },
  degraded: { headline: 'is working, with limitations', tone: 'degraded' },
  unhealthy: { headline: 'is not available right now', tone: 'down' },
  draining: { headline: 'is being updated', tone: 'degraded' },
};

const STYLE = `
:root { color-scheme: light dark; --bg: #f7f6f2; --text: #23241f; --muted: #5f6157; --up: #1d6b4f; --degraded: #b07410; --down: #a3282a; }
@media (prefers-color-scheme: dark) {
  :root { --bg: #161815; --text: #eceee6; --muted: #a6aa9d; --up: #7fd1ae; --degraded: #f0b661; --down: #ff9d95; }
}
body { margin: 0; min-height: 100vh; display: grid; place-content: center; padding: 24px; box-sizing: border-box;
  background: var(--bg); color: var(--text); font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; }
h1 { display: flex; align-items: center; gap: 14px; margin: 0; font-size: clamp(1.4rem, 5vw, 2rem); line-height: 1.25; }
main { max-width: 40rem; }
p { margin: 8px 0 0; color: var(--muted); }
.shape { flex: none; width: 20px; height: 20px; background: var(--up); border-radius: 50%; }
.degraded { background: var(--degraded); border-radius: 0; clip-path: polygon(50% 0, 100% 100%, 0 100%); }
.down { background: var(--down); border-radius: 0; }
`;

/** For the answer with the page: nothing is loaded or run but the style in it. */
export const STATUS_PAGE_POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; frame-ancestors 'none'`;

/** @param service as in PM2: `wordpecker-backend`. @param now shown as the page's time, UTC. */
export function renderStatusPage(service: string, state: ServiceState, now: Date): string {
  const { headline, tone } = WORDS[state];
  const name = service.charAt(0).toUpperCase() + service.slice(1).replaceAll('-', ' ');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="60">
<title>${name} ${headline}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1><span class="shape ${tone}" aria-hidden="true"></span>${name} ${headline}</h1>
<p>As of <time datetime="${now.toISOString()}">${now.toISOString().slice(11, 16)} UTC</time>. This page looks again every minute.</p>
</main>
</body>
</html>
`;
}
