/**
 * Latency at half load: the same rate for all, which is half of what the slowest of them carries here. The rate is
 * kept by the generator, whose connections are independent of each other.
 */
import { median, rounded } from '../lib/statistics.js';
import { formatTable } from '../lib/table.js';
import { atMost, type Verdict } from '../lib/target.js';
import { pace, saturate, type PacedLoad } from './generators.js';
import { SMALL_PATH, startOrigin } from './origin.js';
import { findPrograms } from './processes.js';
import { startProxy, type Proxy, type ProxyName } from './proxies.js';

/** Not http-proxy: half of what the others carry is more than all it can. */
const PROXIES: readonly ProxyName[] = ['holdfast', 'haproxy', 'nginx'];
const CONNECTIONS = 64;
const SATURATED_SECONDS = 3;

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

export async function measureLatency(
  { rounds, seconds }: LatencyOptions,
  say: (text: string) => void,
): Promise<LatencyRow[]> {
  const program = findPrograms();
  const origin = await startOrigin(program('nginx'));
  const proxies: Proxy[] = [];
  try {
    for (const name of PROXIES) proxies.push(await startProxy(name, [`127.0.0.1:${origin.port}`], program));
    const perSecond = await halfLoad(proxies, program('wrk'));
    say(`latency at ${perSecond} requests a second`);
    const measured = new Map<Proxy, PacedLoad[]>(proxies.map((proxy) => [proxy, []]));
    for (let round = 0; round < rounds; round += 1) {
      for (const proxy of proxies) {
        measured.get(proxy)!.push(await pace(program('wrk'), { url: url(proxy), perSecond, seconds }));
      }
    }
    return proxies.map((proxy) => rowOf(proxy.name, measured.get(proxy)!));
  } finally {
    await Promise.all([origin.end(), ...proxies.map((proxy) => proxy.process.end())]);
  }
}

const url = ({ port }: Proxy): string => `http://127.0.0.1:${port}${SMALL_PATH}`;

/** Also warms them up. */
async function halfLoad(proxies: readonly Proxy[], wrk: string): Promise<number> {
  const most: number[] = [];
  for (const proxy of proxies) {
    const load = { url: url(proxy), connections: CONNECTIONS, seconds: SATURATED_SECONDS };
    await saturate(wrk, load);
    most.push((await saturate(wrk, load)) / SATURATED_SECONDS);
  }
  return Math.round(Math.min(...most) / 2);
}

function rowOf(proxy: ProxyName, rounds: readonly PacedLoad[]): LatencyRow {
  return {
    proxy,
    perSecond: Math.round(median(rounds.map(({ perSecond }) => perSecond))),
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

/** Of neighbours in time, as for the cost. */
export function latencyVerdicts(rows: readonly LatencyRow[]): Verdict[] {
  const [own, peer] = (['holdfast', 'haproxy'] as const).map(
    (name) => rows.find(({ proxy }) => proxy === name)!.p99Rounds,
  );
  const ratio = rounded(median(own!.map((p99Ms, round) => p99Ms / peer![round]!)), 2);
  return [atMost('p99 latency at half load', ratio, 1.5, '× haproxy')];
}
