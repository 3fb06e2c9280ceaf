// The landing page's "Right now": the process that serves the pages, the one that answers /api, and what that needs.
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

function processLine(title, { name, pid, instance, uptimeSeconds }) {
  const number = instance === null ? '' : ` instance ${instance},`;
  return line('up', title, `${name},${number} process ${pid}, up for ${duration(uptimeSeconds)}`);
}

async function refresh() {
  try {
    const [pages, api, health] = await Promise.all(
      ['/app/status', '/api/status', '/api/health'].map(async (path) =>
        (await fetch(path, { cache: 'no-store' })).json(),
      ),
    );
    list.replaceChildren(
      processLine('Pages', pages),
      // Without a gateway in front, the service that serves the pages answers here, too.
      ...(api.name === pages.name ? [] : [processLine('Lists', api)]),
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
