/**
 * Latency at half load: the same rate for all, which is half of what the slowest of them carries here. The rate is
 * kept by the generator, whose connections are independent of each other. With a neighbour, a process that works and
 * rests in turns, on whichever of the bench's two cores the scheduler finds, for all proxies alike.
 */
import { median, rounded } from '../lib/statistics.js';
import { formatTable } from '../lib/table.js';
import { atMost, type Verdict } from '../lib/target.js';
import { pace, saturate, type PacedLoad } from './generators.js';
import { SMALL_PATH, startOrigin } from './origin.js';
import { Neighbour } from './neighbour.js';
import type { Programs } from './processes.js';
import { startProxy, type Proxy, type ProxyName } from './proxies.js';

/** Not http-proxy: half of what the others carry is more than all it can. */
const PROXIES: readonly ProxyName[] = ['holdfast', 'haproxy', 'nginx'];
const CONNECTIONS = 64;
const SATURATED_SECONDS = 3;

export interface LatencyRow {
  /** From 1. */
  readonly run: number;
  readonly proxy: ProxyName;
  readonly perSecond: number;
  /** Medians of the rounds. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p99Rounds: readonly number[];
}

export interface LatencyOptions {
  readonly runs: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly neighbour: boolean;
}

export async function measureLatency(
  program: Programs,
  options: LatencyOptions,
  say: (text: string) => void,
): Promise<LatencyRow[]> {
  const rows: LatencyRow[] = [];
  for (let run = 1; run <= options.runs; run += 1) {
    say(`latency: run ${run} of ${options.runs}`);
    rows.push(...(await measureRun(run, program, options, say)));
  }
  return rows;
}

/** With processes of its own. */
async function measureRun(
  run: number,
  program: Programs,
  { rounds, seconds, neighbour }: LatencyOptions,
  say: (text: string) => void,
): Promise<LatencyRow[]> {
  const origin = await startOrigin(program('nginx'));
  const proxies: Proxy[] = [];
  const beside = new Neighbour();
  try {
    for (const name of PROXIES) proxies.push(await startProxy(name, [`127.0.0.1:${origin.port}`], program));
    // What half load is, is known before the neighbour comes.
    const perSecond = await halfLoad(proxies, program('wrk'));
    if (neighbour) beside.start();
    say(`latency at ${perSecond} requests a second`);
    const measured = new Map<Proxy, PacedLoad[]>(proxies.map((proxy) => [proxy, []]));
    for (let round = 0; round < rounds; round += 1) {
      for (const proxy of proxies) {
        measured.get(proxy)!.push(await pace(program('wrk'), { url: url(proxy), perSecond, seconds }));
      }
    }
    return proxies.map((proxy) => rowOf(run, proxy.name, measured.get(proxy)!));
  } finally {
    beside.end();
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

function rowOf(run: number, proxy: ProxyName, rounds: readonly PacedLoad[]): LatencyRow {
  return {
    run,
    proxy,
    perSecond: Math.round(median(rounds.map(({ perSecond }) => perSecond))),
    p50Ms: rounded(median(rounds.map(({ p50Ms }) => p50Ms)), 3),
    p99Ms: rounded(median(rounds.map(({ p99Ms }) => p99Ms)), 3),
    p99Rounds: rounds.map(({ p99Ms }) => rounded(p99Ms, 3)),
  };
}

export function latencyTable(rows: readonly LatencyRow[]): string {
  return formatTable(
    ['proxy', 'run', 'requests/s', 'p50 ms', 'p99 ms', 'p99 ÷ haproxy'],
    rows.map((row) => [
      row.proxy,
      String(row.run),
      String(row.perSecond),
      row.p50Ms.toFixed(2),
      row.p99Ms.toFixed(2),
      row.proxy === 'haproxy' ? '' : ratioToHaproxy(rows, row).toFixed(2),
    ]),
  );
}

/** Of neighbours in time, as for the cost. */
function ratioToHaproxy(rows: readonly LatencyRow[], { run, p99Rounds }: LatencyRow): number {
  const haproxy = rows.find((row) => row.run === run && row.proxy === 'haproxy')!.p99Rounds;
  return rounded(median(p99Rounds.map((p99Ms, round) => p99Ms / haproxy[round]!)), 2);
}

/** One for each run: the target is to be met every time. */
export function latencyVerdicts(rows: readonly LatencyRow[], neighbour: boolean): Verdict[] {
  const what = `p99 latency at half load${neighbour ? ' beside a busy process' : ''}`;
  return rows
    .filter(({ proxy }) => proxy === 'holdfast')
    .map((row) =>
      atMost(`${what}, run ${row.run}`, ratioToHaproxy(rows, row), neighbour ? 2 : 1.5, '× haproxy'),
    );
}
