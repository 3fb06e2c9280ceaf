/** The `supervisor` bench: what supervision costs and how fast it acts, beside PM2 itself in the same run. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describeMachine, type Machine } from '../lib/machine.js';
import { benchFolder } from '../lib/paths.js';
import type { Verdict } from '../lib/target.js';
import { costTable, costVerdicts, measureCost } from './cost.js';
import { measureRolling, rollingTable, rollingVerdicts } from './rolling.js';
import { measureScaleUp, scaleUpTable, scaleUpVerdicts } from './scaleUp.js';

export const PARTS = ['cpu', 'scale', 'rolling'] as const;
export type Part = (typeof PARTS)[number];

export interface RunOptions {
  readonly parts: readonly Part[];
  /** Fewer and shorter measurements: to see that it works, not to quote. */
  readonly quick: boolean;
}

interface Measured {
  readonly title: string;
  readonly table: string;
  readonly rows: readonly object[];
  readonly targets: readonly Verdict[];
}

const COST = { sizes: [4, 20, 100], windows: 3, windowMs: 30_000, settleMs: 20_000 };
const QUICK_COST = { sizes: [4, 20], windows: 1, windowMs: 10_000, settleMs: 6_000 };

const resultsFile = join(benchFolder, 'results/supervisor.json');

const say = (text: string): void => console.error(`… ${text}`);

const MEASURE: Readonly<Record<Part, (quick: boolean) => Promise<Measured>>> = {
  cpu: async (quick) => {
    const rows = await measureCost(quick ? QUICK_COST : COST, say);
    return { title: 'Cost while nothing happens', table: costTable(rows), rows, targets: costVerdicts(rows) };
  },
  scale: async (quick) => {
    const rows = await measureScaleUp(quick ? 5 : 20, say);
    const title = 'One instance more, until it serves (medians)';
    return { title, table: scaleUpTable(rows), rows, targets: scaleUpVerdicts(rows) };
  },
  rolling: async (quick) => {
    const rows = await measureRolling(quick ? 1 : 3, say);
    const title = 'Ten instances replaced under traffic';
    return { title, table: rollingTable(rows), rows, targets: rollingVerdicts(rows) };
  },
};

/** Resolves with whether every target was met. What was measured in full is kept in bench/results/supervisor.json. */
export async function runSupervisorBench({ parts, quick }: RunOptions): Promise<boolean> {
  const verdicts: Verdict[] = [];
  for (const part of parts) {
    const machine = describeMachine();
    const { title, table, rows, targets } = await MEASURE[part](quick);
    console.log(`\n${title}\n${machineLine(machine)}\n\n${table}`);
    verdicts.push(...targets);
    if (!quick) keep(part, { machine, rows, targets });
  }
  console.log('\nTargets\n');
  for (const verdict of verdicts) console.log(verdictLine(verdict));
  return verdicts.every(({ met }) => met);
}

/** Replaces that part of the results; the others keep the machine and the date they were measured on. */
function keep(part: Part, result: object): void {
  let results: object = {};
  try {
    results = JSON.parse(readFileSync(resultsFile, 'utf8')) as object;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    mkdirSync(dirname(resultsFile), { recursive: true });
  }
  writeFileSync(resultsFile, `${JSON.stringify({ ...results, [part]: result }, null, 2)}\n`);
}

function machineLine({ cpu, cores, system, node, pm2, loadAverage1m }: Machine): string {
  return `${cpu}, ${cores} cores, ${system}, Node ${node}, PM2 ${pm2}, load average before ${loadAverage1m}`;
}

function verdictLine({ what, measured, limit, unit, met }: Verdict): string {
  const figures = `${measured} of at most ${limit} ${unit}`.trimEnd();
  return `  ${met ? 'met   ' : 'MISSED'}  ${what}: ${figures}`;
}
