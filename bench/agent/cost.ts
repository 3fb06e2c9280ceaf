/**
 * What the agent costs a service under load: two of them, without and with, answer in turns as fast as they can. A ratio
 * is the median of the ratios of neighbouring rounds, so that whatever else the machine does weighs on both.
 */
import { median, rounded } from '../lib/statistics.js';
import { formatTable } from '../lib/table.js';
import { atMost, type Verdict } from '../lib/target.js';
import { saturate } from '../gateway/generators.js';
import { findPrograms } from '../gateway/processes.js';
import { startHost, startSupervision, type Host } from './hosts.js';

export interface CostRow {
  readonly workload: string;
  readonly rounds: number;
  /** Medians: of the requests a second, and of the CPU time that one takes, all threads of the process, system time included. */
  readonly without: { readonly perSecond: number; readonly cpuMicroseconds: number };
  readonly with: { readonly perSecond: number; readonly cpuMicroseconds: number };
  /** With ÷ without. */
  readonly throughputRatio: number;
  readonly cpuRatio: number;
  readonly throughputRatios: readonly number[];
}

const CONNECTIONS = 64;
const LEAST_THROUGHPUT = 0.98;

interface Round {
  readonly perSecond: number;
  readonly cpuMicroseconds: number;
}

export async function measureCost(
  rounds: number,
  seconds: number,
  say: (text: string) => void,
): Promise<CostRow[]> {
  const wrk = findPrograms()('wrk');
  const agents = await startSupervision();
  const hosts: Host[] = [];
  try {
    hosts.push(await startHost(null), await startHost(agents));
    const results: Round[][] = [[], []];
    // The first round of each is not counted: it compiles what runs often.
    for (let round = 0; round <= rounds; round += 1) {
      say(`round ${round} of ${rounds}`);
      for (const side of round % 2 === 0 ? [0, 1] : [1, 0]) {
        results[side]!.push(await load(wrk, hosts[side]!, seconds));
      }
    }
    const [without = [], withAgent = []] = results.map((all) => all.slice(1));
    const ratios = (of: (round: Round) => number): number[] =>
      withAgent.map((round, index) => of(round) / of(without[index]!));
    const throughputRatios = ratios(({ perSecond }) => perSecond);
    return [
      {
        workload: `3-byte answers, ${CONNECTIONS} kept connections`,
        rounds,
        without: summarize(without),
        with: summarize(withAgent),
        throughputRatio: rounded(median(throughputRatios), 3),
        cpuRatio: rounded(median(ratios(({ cpuMicroseconds }) => cpuMicroseconds)), 3),
        throughputRatios: throughputRatios.map((ratio) => rounded(ratio, 3)),
      },
    ];
  } finally {
    await Promise.all(hosts.map(({ process }) => process.end()));
    await agents.close();
  }
}

async function load(wrk: string, { port, process }: Host, seconds: number): Promise<Round> {
  const cpuBeforeMs = process.cpuTimeMs();
  const requests = await saturate(wrk, {
    url: `http://127.0.0.1:${port}/`,
    connections: CONNECTIONS,
    seconds,
  });
  const cpuMs = process.cpuTimeMs() - cpuBeforeMs;
  return { perSecond: requests / seconds, cpuMicroseconds: (cpuMs * 1_000) / requests };
}

function summarize(rounds: readonly Round[]): Round {
  return {
    perSecond: Math.round(median(rounds.map(({ perSecond }) => perSecond))),
    cpuMicroseconds: rounded(median(rounds.map(({ cpuMicroseconds }) => cpuMicroseconds)), 2),
  };
}

export function costTable(rows: readonly CostRow[]): string {
  return formatTable(
    ['workload', 'requests/s without', 'with', 'ratio', 'CPU µs without', 'with', 'ratio'],
    rows.map((row) => [
      row.workload,
      String(row.without.perSecond),
      String(row.with.perSecond),
      row.throughputRatio.toFixed(3),
      row.without.cpuMicroseconds.toFixed(1),
      row.with.cpuMicroseconds.toFixed(1),
      row.cpuRatio.toFixed(3),
    ]),
  );
}

export function costVerdicts(rows: readonly CostRow[]): Verdict[] {
  return rows.map(({ throughputRatio }) =>
    atMost(
      'throughput without ÷ with the agent',
      rounded(1 / throughputRatio, 3),
      rounded(1 / LEAST_THROUGHPUT, 3),
      '×',
    ),
  );
}
