/** One pool on `/lb`: how it fares as a whole, and a row an upstream. On a narrow screen a row becomes a card. */
import { addressHint, isKeyedByAddress } from '../../domain/upstreams/pool.js';
import { html, type Html } from '../html/html.js';
import type { PoolStatus, UpstreamStatus } from './statusSchema.js';
import { inCount, inDuration, inMs, inPercent, inRate } from './words.js';

/** A table that nobody can read helps nobody; the rest is in /lb/status. Troubled ones come first. */
const MOST_UPSTREAMS_SHOWN = 100;

const WORDS: Readonly<Record<PoolStatus['condition'], string>> = {
  up: 'serves',
  degraded: 'impaired',
  down: 'down',
};

export function renderPool(pool: PoolStatus, at: string): Html {
  const { name, condition, upstreams, latencyMs } = pool;
  const shown = upstreams.length <= MOST_UPSTREAMS_SHOWN ? upstreams : troubledFirst(upstreams);
  const hidden = upstreams.length - shown.length;
  return html`<section class="panel pool">
    <div class="row">
      <h2>${name}</h2>
      <p class="badge ${condition}">
        <span class="shape ${condition}" aria-hidden="true"></span>${WORDS[condition]}
      </p>
      <p class="figures">
        ${inRate(pool.requestsPerSecond)} requests/s<span class="dot"></span>p95
        ${inMs(latencyMs?.p95 ?? null)}<span class="dot"></span>${inPercent(pool.errorRate)} errors
      </p>
    </div>
    <p class="muted">${describe(pool)}</p>
    ${
      upstreams.length > 1 && isKeyedByAddress({ algorithm: pool.algorithm, hashOn: pool.hashOn ?? '' })
        ? html`<p class="muted">${addressHint('upstream')}</p>`
        : null
    }
    ${upstreams.length === 0 ? html`<p class="empty">No upstream is known. Requests for this pool are answered with 503.</p>` : renderTable(name, shown, at)}
    ${hidden === 0 ? null : html`<p class="muted">${hidden} more are in <a href="/lb/status">/lb/status</a>.</p>`}
  </section> `;
}

function describe({ algorithm, hashOn, sticky, fallback, routes, upstreams }: PoolStatus): string {
  const by = hashOn === null ? algorithm : `${algorithm} on ${hashOn}`;
  const usable = upstreams.filter(({ state }) => state === 'up').length;
  const where = routes.length === 0 ? 'no route leads here' : `routes ${routes.join(', ')}`;
  const spare = fallback === null ? [] : [`fallback: ${fallback}`];
  return [
    `${by}${sticky ? ', sticky' : ''}`,
    where,
    `${usable} of ${upstreams.length} take traffic`,
    ...spare,
  ].join(' · ');
}

function renderTable(name: string, upstreams: readonly UpstreamStatus[], at: string): Html {
  return html`<table class="upstreams" role="table" aria-label="Upstreams of ${name}">
    <thead role="rowgroup">
      <tr role="row">
        <th role="columnheader" scope="col">Upstream</th>
        <th role="columnheader" scope="col">State</th>
        <th role="columnheader" scope="col" class="wide">Traffic</th>
        <th role="columnheader" scope="col" class="number">In flight</th>
        <th role="columnheader" scope="col" class="number">p50</th>
        <th role="columnheader" scope="col" class="number">p95</th>
        <th role="columnheader" scope="col" class="number">p99</th>
        <th role="columnheader" scope="col" class="number">Mean</th>
        <th role="columnheader" scope="col" class="number">Errors</th>
        <th role="columnheader" scope="col" class="number">Ejections</th>
        <th role="columnheader" scope="col" class="number">Checked</th>
      </tr>
    </thead>
    <tbody role="rowgroup">
      ${upstreams.map((upstream) => renderUpstream(upstream, at))}
    </tbody>
  </table>`;
}

function renderUpstream(upstream: UpstreamStatus, at: string): Html {
  const { id, state, detail, latencyMs, totals, errorRate } = upstream;
  const tone = (errorRate ?? 0) >= 0.05 ? 'bad' : '';
  return html`<tr role="row" class="${state}">
    <th role="rowheader" scope="row">${id}<small>${subtitle(upstream)}</small></th>
    <td role="cell" class="state">
      <span class="badge ${state}"><span class="shape ${state}" aria-hidden="true"></span>${state}</span
      >${detail === '' ? null : html`<small>${detail}</small>`}
    </td>
    <td role="cell" class="wide">${renderTraffic(upstream)}</td>
    ${cell('In flight', inCount(upstream.inFlight))} ${cell('p50', inMs(latencyMs?.p50 ?? null))}
    ${cell('p95', inMs(latencyMs?.p95 ?? null))} ${cell('p99', inMs(latencyMs?.p99 ?? null))}
    ${cell('Mean', inMs(upstream.averageResponseTime))} ${cell('Errors', inPercent(errorRate), tone)}
    ${cell('Ejections', inCount(totals.ejections))} ${renderCheck(upstream, at)}
  </tr> `;
}

function cell(label: string, value: string, tone = ''): Html {
  return html`<td role="cell" class="number ${tone}" data-label="${label}">${value}</td>`;
}

/** What it gets of the pool's traffic, as a number and as a bar. */
function renderTraffic({ requestsPerSecond, share }: UpstreamStatus): Html {
  const width = share === null ? 0 : Math.round(share * 1_000) / 10;
  return html`<span class="traffic"
    ><span>${inRate(requestsPerSecond)}/s</span
    ><svg class="share" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
      <rect class="track" width="100" height="6" />
      <rect class="fill" width="${width}" height="6" /></svg
    ><span class="muted">${share === null ? '–' : inPercent(Math.round(share * 100) / 100)}</span></span
  >`;
}

function subtitle({ source, weight, totalRequests, percentage, successRate }: UpstreamStatus): string {
  const share = percentage === null ? '' : ` (${inPercent(percentage / 100)})`;
  const parts = [
    source ?? '',
    weight === 1 ? '' : `weight ${weight}`,
    `${inCount(totalRequests)} request${totalRequests === 1 ? '' : 's'}${share}`,
    successRate === null ? '' : `${inPercent(successRate / 100)} fine`,
  ];
  return parts.filter((part) => part !== '').join(' · ');
}

function renderCheck({ lastCheck }: UpstreamStatus, at: string): Html {
  if (lastCheck === null) return cell('Checked', '–');
  const ago = `${inDuration(Date.parse(at) - Date.parse(lastCheck.at))} ago`;
  const outcome = lastCheck.ok ? inMs(lastCheck.latencyMs) : 'failed';
  return html`<td role="cell" class="number" data-label="Checked">${outcome}<small>${ago}</small></td>`;
}

function troubledFirst(upstreams: readonly UpstreamStatus[]): UpstreamStatus[] {
  const order: Readonly<Record<UpstreamStatus['state'], number>> = {
    down: 0,
    ejected: 1,
    draining: 2,
    up: 3,
  };
  return upstreams
    .toSorted((a, b) => order[a.state] - order[b.state] || b.requestsPerSecond - a.requestsPerSecond)
    .slice(0, MOST_UPSTREAMS_SHOWN);
}
