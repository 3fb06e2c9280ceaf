/** What a request costs with many upstreams, against with few: picking one should not depend on how many there are. */
import { rounded } from '../lib/statistics.js';
import { formatTable } from '../lib/table.js';
import { atMost, type Verdict } from '../lib/target.js';
import { inTurns, SMALL, type CostOptions } from './cost.js';
import { startOrigin } from './origin.js';
import type { Programs } from './processes.js';
import { startProxy, type Proxy, type ProxyName } from './proxies.js';

const COUNTS = [4, 1_000] as const;
const PROXIES: readonly ProxyName[] = ['holdfast', 'haproxy'];
/** With as many upstreams there are as many connections, which the kernel pays for; HAProxy shows how much. */
const LIMIT = 1.25;

export interface UpstreamCountRow {
  readonly proxy: ProxyName;
  readonly upstreams: number;
  readonly cpuUs: number;
  readonly rounds: readonly number[];
}

export async function measureUpstreamCount(
  program: Programs,
  options: CostOptions,
  say: (text: string) => void,
): Promise<UpstreamCountRow[]> {
  const origin = await startOrigin(program('nginx'));
  try {
    const rows: UpstreamCountRow[] = [];
    for (const name of PROXIES) {
      say(`number of upstreams: ${name}`);
      const proxies: Proxy[] = [];
      try {
        for (const count of COUNTS)
          proxies.push(await startProxy(name, addresses(count, origin.port), program));
        const measured = await inTurns(SMALL, proxies, program('wrk'), options);
        for (const [index, upstreams] of COUNTS.entries()) {
          const { cpuUs, rounds } = measured[index]!;
          rows.push({ proxy: name, upstreams, cpuUs, rounds });
        }
      } finally {
        await Promise.all(proxies.map((proxy) => proxy.process.end()));
      }
    }
    return rows;
  } finally {
    await origin.end();
  }
}

/** All of them are the origin, under addresses of their own: 127.0.1.1, 127.0.1.2, … */
function addresses(count: number, port: number): string[] {
  return Array.from(
    { length: count },
    (_, index) => `127.0.${1 + Math.floor(index / 250)}.${1 + (index % 250)}:${port}`,
  );
}

function growth(rows: readonly UpstreamCountRow[], name: ProxyName): number {
  const [few, many] = COUNTS.map(
    (count) => rows.find(({ proxy, upstreams }) => proxy === name && upstreams === count)!.cpuUs,
  );
  return rounded(many! / few!, 2);
}

export function upstreamCountTable(rows: readonly UpstreamCountRow[]): string {
  return formatTable(
    ['CPU µs per request', ...COUNTS.map((count) => `${count} upstreams`), 'ratio'],
    PROXIES.map((name) => [
      name,
      ...rows.filter(({ proxy }) => proxy === name).map(({ cpuUs }) => cpuUs.toFixed(1)),
      growth(rows, name).toFixed(2),
    ]),
  );
}

export function upstreamCountVerdicts(rows: readonly UpstreamCountRow[]): Verdict[] {
  return [atMost('1 000 upstreams', growth(rows, 'holdfast'), LIMIT, '× the cost with 4')];
}
