/** What a gateway prints when it was started by hand: where it listens, for which upstreams, and what to try next. */
import { addressHint, isKeyedByAddress, type UpstreamSnapshot } from '../../domain/upstreams/pool.js';
import type { GatewayFacts, UpstreamFact } from '../pages/facts.js';
import { STAND_IN_SOURCE } from './standIn.js';

export interface Whereabouts {
  /** To be opened on this machine: `http://127.0.0.1:13003`. */
  readonly url: string;
  /** Where it listens, as configured. */
  readonly host: string;
  /** null: no TLS. */
  readonly tlsPort: number | null;
  /** Path of its log. */
  readonly logFile: string;
}

/** More upstreams of a pool than this are only counted. */
const MOST_SHOWN = 16;

/** Lines for a terminal or a pipe, without colours. */
export function welcomeLines(facts: GatewayFacts, { url, host, tlsPort, logFile }: Whereabouts): string[] {
  const count = facts.workers.filter(({ state }) => state !== 'stopping').length;
  const tls = tlsPort === null ? '' : `, TLS on port ${tlsPort}`;
  const workers = `${count} worker${count === 1 ? '' : 's'}`;
  const { pools } = facts.snapshot;
  const upstreams = pools.flatMap((pool) => pool.upstreams);
  const first = upstreams.some(({ state }) => state === 'up') ? `curl -i ${url}/` : `curl -i ${url}/health`;
  return [
    `The Holdfast gateway ${facts.version} listens on ${url} (${host}${tls}; ${workers}).`,
    ...pools.flatMap((pool) => [
      '',
      `${pool.name}, ${pool.algorithm}:`,
      ...upstreamLines(pool.upstreams, facts.upstreams),
      ...(pool.upstreams.length > 1 && isKeyedByAddress(pool) ? [`  ${addressHint('upstream')}`] : []),
    ]),
    ...standInLines(facts, upstreams),
    ...(upstreams.length === 0 ? emptyLines(facts) : []),
    '',
    `Try next:  ${first}`,
    `           ${url}/lb in a browser, to see its traffic live`,
    `Its log:   ${logFile}`,
    'Stop it:   Ctrl-C',
  ];
}

/** Whether every upstream has been checked once: then a welcome can say which are up. */
export function areChecked({ snapshot, upstreams }: GatewayFacts): boolean {
  const rows = snapshot.pools.flatMap((pool) => pool.upstreams);
  return rows.length > 0 && rows.every(({ id }) => (upstreams.get(id)?.lastCheck ?? null) !== null);
}

function upstreamLines(
  rows: readonly UpstreamSnapshot[],
  facts: ReadonlyMap<string, UpstreamFact>,
): string[] {
  if (rows.length === 0) return ['  none yet'];
  const shown = rows.slice(0, MOST_SHOWN);
  const width = Math.max(...shown.map(({ id }) => id.length));
  const lines = shown.map((row) => `  ${row.id.padEnd(width)}  ${stateOf(row, facts.get(row.id))}`);
  return rows.length > shown.length ? [...lines, `  and ${rows.length - shown.length} more`] : lines;
}

function stateOf({ state, weight }: UpstreamSnapshot, fact: UpstreamFact | undefined): string {
  const lastCheck = fact?.lastCheck ?? null;
  const detail = state === 'down' && lastCheck !== null && !lastCheck.ok ? `: ${lastCheck.detail}` : '';
  const known = state === 'down' && lastCheck === null ? 'not checked yet' : `${state}${detail}`;
  return weight === 1 ? known : `${known} (weight ${weight})`;
}

/** Why these upstreams, where nothing chose them, and how to get some that answer. */
function standInLines({ sources }: GatewayFacts, rows: readonly UpstreamSnapshot[]): string[] {
  const standIn = sources.find(({ name }) => name === STAND_IN_SOURCE);
  if (standIn === undefined) return [];
  const isAnyUp = rows.some(({ state }) => state === 'up');
  return [
    '',
    `Why ${standIn.detail}.`,
    ...(isAnyUp ? [] : ['Nothing answers there yet. In another terminal:  npm run cluster']),
  ];
}

function emptyLines({ sources }: GatewayFacts): string[] {
  return [
    '',
    ...sources.map(({ name, detail }) => `  ${name}: ${detail === '' ? 'no answer yet' : detail}`),
    'Requests are answered with 503 until there is one. Upstreams of your own, without a supervisor:',
    "  BACKEND_HOSTS='127.0.0.1:18081,127.0.0.1:18082' npm run balancer",
  ];
}
