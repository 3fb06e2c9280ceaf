// The landing page's "Right now": what /api/health and /api/status of this very instance say.
import { element } from './dom.js';

const list = document.querySelector('#status');

function line(state, title, detail) {
  return element('li', {}, [
    element('span', { className: `dot ${state}`, ariaHidden: 'true' }),
    element('span', { className: 'grow' }, [
      element('strong', { textContent: title }),
      element('span', { className: 'muted small', textContent: detail }),
    ]),
  ]);
}

async function refresh() {
  try {
    const [status, health] = await Promise.all(
      ['/api/status', '/api/health'].map(async (path) => (await fetch(path, { cache: 'no-store' })).json()),
    );
    const instance = status.instance === null ? '' : `instance ${status.instance}, `;
    list.replaceChildren(
      line('up', 'Pages', `${instance}process ${status.pid}, up for ${duration(status.uptimeSeconds)}`),
      ...health.checks.map((check) =>
        line(
          check.status,
          capitalised(check.name),
          check.status === 'up' ? 'answers' : (check.detail ?? 'does not answer'),
        ),
      ),
    );
  } catch {
    list.replaceChildren(line('down', 'Pages', 'no answer; trying again in a few seconds'));
  }
}

function duration(seconds) {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

function capitalised(text) {
  return text[0].toUpperCase() + text.slice(1);
}

await refresh();
setInterval(() => {
  if (!document.hidden) void refresh();
}, 5000);
