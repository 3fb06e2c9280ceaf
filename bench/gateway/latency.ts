/**
 * Latency at half load: the same rate for all, which is half of what the slowest of them carries here. The rate is
 * kept by the generator, and each answer's own time counts.
 */
import { median, quantile, rounded } from '../lib/statistics.js';
import { formatTable } from '../lib/table.js';
import { atMost, type Verdict } from '../lib/target.js';
import { pace, saturate } from './generators.js';
import { SMALL_PATH, startOrigin } from './origin.js';
import { findPrograms } from './processes.js';
import { startProxy, type Proxy, type ProxyName } from './proxies.js';

/** Not http-proxy: half of what the others carry is more than all it can. */
const PROXIES: readonly ProxyName[] = ['holdfast', 'haproxy', 'nginx'];
const CONNECTIONS = 128;

export interface LatencyRow {
  readonly proxy: ProxyName;
  readonly perSecond: number;
  /** Medians of the rounds. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p99Rounds: readonly number[];
}

export interface LatencyOptions {
  readonly rounds: number;
  readonly seconds: number;
}

interface Round {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export async function measureLatency(
  { rounds, seconds }: LatencyOptions,
  say: (text: string) => void,
): Promise<LatencyRow[]> {
  const program = findPrograms();
  const origin = await startOrigin(program('nginx'));
  const proxies: Proxy[] = [];
  try {
    for (const name of PROXIES) proxies.push(await startProxy(name, [`127.0.0.1:${origin.port}`], program));
    const perSecond = await halfLoad(proxies, program('wrk'), seconds);
    say(`latency at ${perSecond} requests a second`);
    const measured = new Map<Proxy, Round[]>(proxies.map((proxy) => [proxy, []]));
    for (let round = 0; round < rounds; round += 1) {
      for (const proxy of proxies) {
        const times = await pace(program('h2load'), {
          url: url(proxy),
          connections: CONNECTIONS,
          perSecond,
          seconds,
        });
        measured.get(proxy)!.push({ p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99) });
      }
    }
    return proxies.map((proxy) => rowOf(proxy.name, perSecond, measured.get(proxy)!));
  } finally {
    await Promise.all([origin.end(), ...proxies.map((proxy) => proxy.process.end())]);
  }
}

const url = ({ port }: Proxy): string => `http://127.0.0.1:${port}${SMALL_PATH}`;

/** Also warms them up. */
async function halfLoad(proxies: readonly Proxy[], wrk: string, seconds: number): Promise<number> {
  const most: number[] = [];
  for (const proxy of proxies) {
    await saturate(wrk, { url: url(proxy), connections: CONNECTIONS, seconds });
    most.push((await saturate(wrk, { url: url(proxy), connections: CONNECTIONS, seconds })) / seconds);
  }
  return Math.floor(Math.min(...most) / 2 / CONNECTIONS) * CONNECTIONS;
}

function rowOf(proxy: ProxyName, perSecond: number, rounds: readonly Round[]): LatencyRow {
  return {
    proxy,
    perSecond,
    p50Ms: rounded(median(rounds.map(({ p50Ms }) => p50Ms)), 3),
    p99Ms: rounded(median(rounds.map(({ p99Ms }) => p99Ms)), 3),
    p99Rounds: rounds.map(({ p99Ms }) => rounded(p99Ms, 3)),
  };
}

export function latencyTable(rows: readonly LatencyRow[]): string {
  return formatTable(
    ['proxy', 'requests/s', 'p50 ms', 'p99 ms'],
    rows.map(({ proxy, perSecond, p50Ms, p99Ms }) => [
      proxy,
      String(perSecond),
      p50Ms.toFixed(2),
      p99Ms.toFixed(2),
    ]),
  );
}

export function latencyVerdicts(rows: readonly LatencyRow[]): Verdict[] {
  const p99Ms = (name: ProxyName): number => rows.find(({ proxy }) => proxy === name)!.p99Ms;
  const ratio = rounded(p99Ms('holdfast') / p99Ms('haproxy'), 2);
  return [atMost('p99 latency at half load', ratio, 1.5, '× haproxy')];
}
