/**
 * CPU time per request, system time included: what decides how many requests a core carries. Taken from the
 * processes' own accounting, so that what shares the machine disturbs it little; all proxies in turns, several rounds.
 */
import { median, rounded } from '../lib/statistics.js';
import { formatTable } from '../lib/table.js';
import { atMost, type Verdict } from '../lib/target.js';
import { saturate } from './generators.js';
import { LARGE_PATH, SMALL_PATH, startOrigin, UPLOAD_PATH } from './origin.js';
import type { Programs } from './processes.js';
import { startProxy, type Proxy, type ProxyName } from './proxies.js';

export interface Workload {
  readonly name: string;
  readonly path: string;
  readonly connections: number;
  /** For wrk, Lua. */
  readonly script?: string;
}

export const SMALL: Workload = { name: 'small answer', path: SMALL_PATH, connections: 64 };
const WORKLOADS: readonly Workload[] = [
  SMALL,
  { name: '100 KB answer', path: LARGE_PATH, connections: 64 },
  {
    name: '1 MB upload',
    path: UPLOAD_PATH,
    connections: 16,
    script: `wrk.method = "POST"\nwrk.body = string.rep("x", 1048576)`,
  },
  {
    name: 'connection per request',
    path: SMALL_PATH,
    connections: 64,
    script: `wrk.headers["Connection"] = "close"`,
  },
];
const PROXIES: readonly ProxyName[] = ['holdfast', 'floor', 'haproxy', 'nginx', 'http-proxy'];
const PEERS = PROXIES.slice(1);

export interface CostRow {
  readonly workload: string;
  readonly proxy: ProxyName;
  /** User and system time per request, µs: the median of the rounds, and each of them. */
  readonly cpuUs: number;
  readonly rounds: readonly number[];
  /** Requests a second: the median. As much the generator's and the origin's figure as the proxy's. */
  readonly perSecond: number;
}

export interface CostOptions {
  readonly rounds: number;
  readonly seconds: number;
}

export async function measureCost(
  program: Programs,
  options: CostOptions,
  say: (text: string) => void,
): Promise<CostRow[]> {
  const origin = await startOrigin(program('nginx'));
  const proxies: Proxy[] = [];
  try {
    for (const name of PROXIES) proxies.push(await startProxy(name, [`127.0.0.1:${origin.port}`], program));
    const rows: CostRow[] = [];
    for (const workload of WORKLOADS) {
      say(`CPU time per request: ${workload.name}`);
      rows.push(...(await inTurns(workload, proxies, program('wrk'), options)));
    }
    return rows;
  } finally {
    await Promise.all([origin.end(), ...proxies.map((proxy) => proxy.process.end())]);
  }
}

interface Round {
  readonly cpuUs: number;
  readonly perSecond: number;
}

/** One round that does not count (compilers, connections), then `rounds` that do. */
export async function inTurns(
  workload: Workload,
  proxies: readonly Proxy[],
  wrk: string,
  { rounds, seconds }: CostOptions,
): Promise<CostRow[]> {
  const measured = new Map<Proxy, Round[]>(proxies.map((proxy) => [proxy, []]));
  for (let round = 0; round <= rounds; round += 1) {
    for (const proxy of proxies) {
      const taken = await measureRound(workload, proxy, wrk, seconds);
      if (round > 0) measured.get(proxy)!.push(taken);
    }
  }
  return proxies.map((proxy) => {
    const taken = measured.get(proxy)!;
    return {
      workload: workload.name,
      proxy: proxy.name,
      cpuUs: rounded(median(taken.map(({ cpuUs }) => cpuUs)), 2),
      rounds: taken.map(({ cpuUs }) => rounded(cpuUs, 3)),
      perSecond: Math.round(median(taken.map(({ perSecond }) => perSecond))),
    };
  });
}

async function measureRound(workload: Workload, proxy: Proxy, wrk: string, seconds: number): Promise<Round> {
  const before = proxy.process.cpuTimeMs();
  const requests = await saturate(wrk, {
    ...workload,
    url: `http://127.0.0.1:${proxy.port}${workload.path}`,
    seconds,
  });
  const cpuMs = proxy.process.cpuTimeMs() - before;
  return { cpuUs: (cpuMs * 1_000) / requests, perSecond: requests / seconds };
}

function rowOf(rows: readonly CostRow[], workload: string, proxy: ProxyName): CostRow {
  const found = rows.find((row) => row.workload === workload && row.proxy === proxy);
  if (found === undefined) throw new Error(`${proxy} was not measured with ${workload}`);
  return found;
}

export function costTable(rows: readonly CostRow[]): string {
  const workloads = [...new Set(rows.map(({ workload }) => workload))];
  const figure = (workload: string, proxy: ProxyName): string => {
    const { cpuUs } = rowOf(rows, workload, proxy);
    return cpuUs < 1_000 ? cpuUs.toFixed(1) : cpuUs.toFixed(0);
  };
  return formatTable(
    ['CPU µs per request', ...PROXIES, ...PEERS.map((peer) => `÷ ${peer}`)],
    workloads.map((workload) => [
      workload,
      ...PROXIES.map((proxy) => figure(workload, proxy)),
      ...PEERS.map((peer) => ratio(rows, workload, peer).toFixed(2)),
    ]),
  );
}

/** Of neighbours in time, so that what the machine does besides weighs on both: the median over the rounds. */
function ratio(rows: readonly CostRow[], workload: string, to: ProxyName): number {
  const [own, peer] = (['holdfast', to] as const).map((proxy) => rowOf(rows, workload, proxy).rounds);
  return rounded(median(own!.map((cpuUs, round) => cpuUs / peer![round]!)), 2);
}

export function costVerdicts(rows: readonly CostRow[]): Verdict[] {
  const target = (workload: string, to: ProxyName, limit: number): Verdict =>
    atMost(`${workload}, CPU per request`, ratio(rows, workload, to), limit, `× ${to}`);
  return [
    target('small answer', 'floor', 1.15),
    target('small answer', 'haproxy', 1.25),
    target('small answer', 'http-proxy', 0.35),
    target('100 KB answer', 'nginx', 1.3),
    target('connection per request', 'haproxy', 1.6),
  ];
}
