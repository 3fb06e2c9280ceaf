/**
 * `/lb`: the gateway at a glance. Rendered here and nowhere else: the page in the browser asks for itself once a
 * second and takes over what differs (assets/live.js), so it shows the same with and without scripts.
 */
import { MARK, loadPageKind, renderDocument } from '../html/document.js';
import { html, type Html } from '../html/html.js';
import { renderChart } from './liveChart.js';
import { renderPool } from './livePool.js';
import type { Change, GatewayStatus, WorkerStatus } from './statusSchema.js';
import { inCount, inDuration, inMs, inPercent, inRate } from './words.js';

export const livePage = loadPageKind('live', 'Gateway · Holdfast', 5, "'self'");

const HEADLINES: Readonly<Record<GatewayStatus['condition'], string>> = {
  up: 'All pools serve',
  degraded: 'Some pools are impaired',
  down: 'Nothing is served',
};
const MOST_REFUSALS_SHOWN = 8;
const MOST_CHANGES_SHOWN = 15;
/** Renewal is usually done 30 days before the end; less than half of that means that it is not. */
const RENEW_WITHIN_MS = 14 * 24 * 3_600_000;

export function renderLivePage(status: GatewayStatus): string {
  const headline = status.pools.length === 0 ? 'No pool is configured' : HEADLINES[status.condition];
  return renderDocument(
    livePage,
    html`<header class="bar">
        <p class="brand">${MARK}Holdfast gateway</p>
        <p id="live" class="live" role="status">Without scripts this page reloads every 5 seconds</p>
      </header>
      <main id="view">
        <div class="headline">
          <h1><span class="shape ${status.condition}" aria-hidden="true"></span>${headline}</h1>
          <p class="muted">
            Version ${status.version}, up for ${since(status.startedAt, status.at)}, pool snapshot
            ${status.snapshotVersion}
          </p>
        </div>
        ${renderProblems(status.problems)} ${renderTiles(status)} ${renderFigures(status)}
        ${renderChart(status.history)} ${status.pools.map((pool) => renderPool(pool, status.at))}
        <div class="columns">
          ${renderChanges(status.changes, status.at)}
          <div>
            ${renderWorkers(status)} ${renderSources(status.sources)} ${renderCertificates(status)}
            ${renderRefusals(status.refusals)}
          </div>
        </div>
      </main>
      <footer class="foot muted">
        The same for machines: <a href="/lb/status">/lb/status</a> (JSON),
        <a href="/metrics">/metrics</a> (Prometheus). For everybody: <a href="/status.html">/status.html</a>
      </footer>`,
  );
}

function renderProblems(problems: readonly string[]): Html | null {
  if (problems.length === 0) return null;
  return html`<section class="problems" aria-label="Problems">
    <ul>
      ${problems.map((problem) => html`<li>${problem}</li>`)}
    </ul>
  </section>`;
}

function renderTiles({ traffic, workers, workerRestarts }: GatewayStatus): Html {
  const { latencyMs } = traffic;
  const serving = workers.filter(({ state }) => state === 'serving').length;
  return html`<dl class="tiles">
    ${tile('Requests a second', inRate(traffic.requestsPerSecond), `${inCount(total(traffic.answers))} answered so far`)}
    ${tile('Latency, p95', inMs(latencyMs?.p95 ?? null), `p50 ${inMs(latencyMs?.p50 ?? null)}, p99 ${inMs(latencyMs?.p99 ?? null)}`)}
    ${tile('Errors', inPercent(traffic.errorRate), `${inCount(traffic.answers['5xx'])} answers with 5xx so far`, (traffic.errorRate ?? 0) >= 0.05 ? 'bad' : '')}
    ${tile('In flight', inCount(traffic.inFlight), 'requests at upstreams')}
    ${tile('Clients', inCount(traffic.clientConnections), `connections, ${inCount(traffic.upgradedConnections)} of them WebSockets`)}
    ${tile('Workers', `${serving} of ${workers.length}`, workerRestarts === 0 ? 'none was ever replaced' : `${inCount(workerRestarts)} replaced so far`, serving === 0 ? 'bad' : '')}
  </dl>`;
}

function tile(name: string, value: string, note: string, tone = ''): Html {
  return html`<div class="panel tile">
    <dt>${name}</dt>
    <dd class="value ${tone}">${value}</dd>
    <dd class="muted">${note}</dd>
  </div> `;
}

/** What counts since the start or the last reset, and may begin anew. */
function renderFigures(status: GatewayStatus): Html {
  const { countedSince, at, totalRequests, successRate, averageResponseTime } = status;
  return html`<section class="panel since" aria-label="Figures since the last reset">
    <dl>
      ${figure('Requests', inCount(totalRequests))}
      ${figure('Answered below 500', inPercent(successRate === null ? null : successRate / 100))}
      ${figure('Mean response time', inMs(averageResponseTime))}
      ${figure('Requests a second, last minute', status.requestsPerSecond === null ? '–' : inRate(status.requestsPerSecond))}
      ${figure('Sessions, last 30 minutes', inCount(status.activeSessions))}
    </dl>
    <form method="post" action="/lb/reset">
      <span class="muted">Counted for ${since(countedSince, at)}</span> <button>Reset</button>
    </form>
  </section>`;
}

function figure(name: string, value: string): Html {
  return html`<div>
    <dt>${name}</dt>
    <dd>${value}</dd>
  </div> `;
}

function total(answers: GatewayStatus['traffic']['answers']): number {
  return Object.values(answers).reduce((sum, count) => sum + count, 0);
}

function renderChanges(changes: readonly Change[], at: string): Html {
  const list = changes
    .slice(0, MOST_CHANGES_SHOWN)
    .map(
      (change) =>
        html`<li>
          <span class="shape ${TONES[change.tone]}" aria-hidden="true"></span><span>${change.text}</span
          ><time class="muted" datetime="${change.at}">${since(change.at, at)} ago</time>
        </li>`,
    );
  const nothing = html`<p class="muted">Nothing has changed since the gateway started.</p>`;
  return html`<section class="panel">
    <h2>Last changes</h2>
    ${
      list.length === 0
        ? nothing
        : html`<ol class="changes">
            ${list}
          </ol>`
    }
  </section>`;
}

const TONES: Readonly<Record<Change['tone'], string>> = { good: 'up', bad: 'down', neutral: 'draining' };

function renderWorkers({ workers, at }: GatewayStatus): Html {
  return html`<section class="panel">
    <h2>Workers</h2>
    <table class="plain">
      <thead>
        <tr>
          <th scope="col">Process</th>
          <th scope="col">State</th>
          <th scope="col" class="number">Clients</th>
          <th scope="col" class="number">Snapshot</th>
          <th scope="col" class="number">Up for</th>
        </tr>
      </thead>
      <tbody>
        ${workers.map((worker) => renderWorker(worker, at))}
      </tbody>
    </table>
  </section>`;
}

function renderWorker(
  { pid, state, since: startedAt, snapshotVersion, connections }: WorkerStatus,
  at: string,
): Html {
  const shape = state === 'serving' ? 'up' : 'draining';
  return html`<tr>
    <th scope="row">${String(pid)}</th>
    <td>
      <span class="badge ${shape}"><span class="shape ${shape}" aria-hidden="true"></span>${state}</span>
    </td>
    <td class="number">${inCount(connections)}</td>
    <td class="number">${snapshotVersion ?? '–'}</td>
    <td class="number">${since(startedAt, at)}</td>
  </tr> `;
}

function renderSources(sources: GatewayStatus['sources']): Html | null {
  if (sources.length === 0) return null;
  const rows = sources.map(({ name, pool, state, detail }) => {
    const shape = { live: 'up', polling: 'degraded', stale: 'ejected' }[state];
    return html`<li>
      <span class="shape ${shape}" aria-hidden="true"></span
      ><span
        ><strong>${name}</strong> for ${pool}:
        ${state}${detail === '' ? null : html`<br /><span class="muted">${detail}</span>`}</span
      >
    </li>`;
  });
  return html`<section class="panel">
    <h2>Sources of upstreams</h2>
    <ul class="changes">
      ${rows}
    </ul>
  </section>`;
}

function renderCertificates({ certificates, at }: GatewayStatus): Html | null {
  if (certificates.length === 0) return null;
  const rows = certificates.map(({ name, names, endsAt }) => {
    const leftMs = Date.parse(endsAt) - Date.parse(at);
    const shape = leftMs <= 0 ? 'down' : leftMs < RENEW_WITHIN_MS ? 'degraded' : 'up';
    const validity = leftMs <= 0 ? 'has ended' : `valid for ${inDuration(leftMs)}`;
    return html`<li>
      <span class="shape ${shape}" aria-hidden="true"></span
      ><span><strong>${names.join(', ')}</strong> ${validity}<br /><span class="muted">${name}</span></span>
    </li>`;
  });
  return html`<section class="panel">
    <h2>Certificates</h2>
    <ul class="changes">
      ${rows}
    </ul>
  </section>`;
}

function renderRefusals(refusals: GatewayStatus['refusals']): Html | null {
  if (refusals.length === 0) return null;
  const rows = refusals.slice(0, MOST_REFUSALS_SHOWN).map(
    ({ code, total }) =>
      html`<tr>
        <th scope="row"><code>${code}</code></th>
        <td class="number">${inCount(total)}</td>
      </tr>`,
  );
  return html`<section class="panel">
    <h2>Answered by the gateway itself</h2>
    <table class="plain">
      <tbody>
        ${rows}
      </tbody>
    </table>
  </section>`;
}

function since(thenIso: string, nowIso: string): string {
  return inDuration(Date.parse(nowIso) - Date.parse(thenIso));
}
