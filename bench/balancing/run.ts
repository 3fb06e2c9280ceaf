/** The `balancing` bench: what choosing an upstream costs, against how many there are. No process but this one. */
import type { Endpoint } from '../../backend/src/domain/balancing/picker.js';
import { algorithms } from '../../backend/src/domain/balancing/registry.js';
import type { Measurement } from '../lib/report.js';
import { median, rounded } from '../lib/statistics.js';
import { formatTable } from '../lib/table.js';
import { atMost } from '../lib/target.js';

const COUNTS = [4, 100, 1_000] as const;
const MOST = 1_000;
/** Of some 15 µs that a request costs in all. */
const LIMIT_NS = 1_000;
/** Of the event loop, when a pool's members change; what it does meanwhile waits. */
const LIMIT_BUILD_MS = 50;

interface Row {
  readonly algorithm: string;
  readonly endpoints: number;
  readonly pickNs: number;
  readonly buildMs: number;
}

/** Names that were not used before, or a table might be remembered. */
let builds = 0;

function endpointsOf(count: number): Endpoint[] {
  builds += 1;
  return Array.from({ length: count }, (_, index) => ({
    id: `10.${builds & 255}.${index >>> 8}.${index & 255}:8080`,
    weight: 1 + (index % 3),
    inFlight: 0,
    available: true,
    ramp: 1,
  }));
}

/** As in a gateway: every pick is under way while two per endpoint others are. */
function pickNs(name: string, count: number, picks: number): number {
  const endpoints = endpointsOf(count);
  const picker = algorithms.get(name)!.build(endpoints, Math.random);
  const underWay: (Endpoint | null)[] = Array.from({ length: 2 * count }, () => null);
  const context = { hash: 1, tried: null };
  const startedMs = performance.now();
  for (let pick = 0; pick < picks; pick += 1) {
    context.hash = Math.imul(pick + 1, 0x9e3779b1) >>> 0;
    const picked = picker.pick(context)!;
    picked.inFlight += 1;
    const place = pick % underWay.length;
    const ended = underWay[place] ?? null;
    if (ended !== null) ended.inFlight -= 1;
    underWay[place] = picked;
  }
  return ((performance.now() - startedMs) * 1e6) / picks;
}

function buildMs(name: string, count: number): number {
  const endpoints = endpointsOf(count);
  const startedMs = performance.now();
  algorithms.get(name)!.build(endpoints, Math.random);
  return performance.now() - startedMs;
}

function measureOne(algorithm: string, endpoints: number, quick: boolean): Row {
  const rounds = Array.from({ length: quick ? 3 : 9 }, (_, round) => round);
  const picks = quick ? 100_000 : 500_000;
  pickNs(algorithm, endpoints, picks);
  return {
    algorithm,
    endpoints,
    pickNs: rounded(median(rounds.map(() => pickNs(algorithm, endpoints, picks))), 0),
    buildMs: rounded(median(rounds.map(() => buildMs(algorithm, endpoints))), 2),
  };
}

function tableOf(rows: readonly Row[]): string {
  const head = ['', ...COUNTS.map((count) => `${count}: pick ns`), `${MOST}: build ms`];
  const lines = [...algorithms.keys()].map((name) => {
    const own = rows.filter(({ algorithm }) => algorithm === name);
    return [name, ...own.map(({ pickNs }) => String(pickNs)), String(own.at(-1)!.buildMs)];
  });
  return formatTable(head, lines);
}

export const BALANCING_PARTS: Readonly<Record<string, Measurement>> = {
  picking: ({ quick }) => {
    const rows = [...algorithms.keys()].flatMap((name) =>
      COUNTS.map((count) => measureOne(name, count, quick)),
    );
    const targets = rows
      .filter(({ endpoints }) => endpoints === MOST)
      .flatMap(({ algorithm, pickNs, buildMs }) => [
        atMost(`${algorithm}: one pick of ${MOST}`, pickNs, LIMIT_NS, 'ns'),
        atMost(`${algorithm}: building for ${MOST}`, buildMs, LIMIT_BUILD_MS, 'ms'),
      ]);
    const title = 'Choosing an upstream, by number of upstreams (medians)';
    return Promise.resolve({ title, table: tableOf(rows), rows, targets });
  },
};
