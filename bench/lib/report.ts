/** What every bench does with its parts: measure, print, compare with the targets, keep. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describeMachine, type Machine } from './machine.js';
import { benchFolder } from './paths.js';
import type { MeasuredNode } from './nodes.js';
import type { Verdict } from './target.js';

export interface Measured {
  readonly title: string;
  readonly table: string;
  readonly rows: readonly object[];
  readonly targets: readonly Verdict[];
  /** What it is kept as; default: the name of the part. */
  readonly keptAs?: string;
}

/** How a part is measured. */
export interface MeasureOptions {
  /** Fewer and shorter measurements: to see that it works, not to quote. */
  readonly quick: boolean;
  /** The Node that what is measured runs on, where that may be chosen. */
  readonly node: MeasuredNode;
  /** How often, each time anew, where a target is to be met every time. */
  readonly runs: number;
  /** Beside a process that keeps half a core busy. */
  readonly neighbour: boolean;
}

export interface BenchOptions extends MeasureOptions {
  /** Of those that the bench has. */
  readonly parts: readonly string[];
  /** Name of the file with the results. */
  readonly results: string;
}

export type Measurement = (options: MeasureOptions) => Promise<Measured>;

export const say = (text: string): void => console.error(`… ${text}`);

/**
 * Runs `parts` one after the other. What was measured in full replaces that part in bench/results/RESULTS.json.
 * @returns whether every target was met.
 */
export async function runBench(
  measure: Readonly<Record<string, Measurement>>,
  { parts, results, ...options }: BenchOptions,
): Promise<boolean> {
  const verdicts: Verdict[] = [];
  for (const part of parts) {
    const machine = describeMachine(options.node.version);
    const { title, table, rows, targets, keptAs = part } = await measure[part]!(options);
    console.log(`\n${title}\n${machineLine(machine)}\n\n${table}`);
    verdicts.push(...targets);
    if (!options.quick) keep(results, keptAs, { machine, rows, targets });
  }
  console.log('\nTargets\n');
  for (const verdict of verdicts) console.log(verdictLine(verdict));
  return verdicts.every(({ met }) => met);
}

/** Replaces that part of the results; the others keep the machine and the date they were measured on. */
function keep(name: string, part: string, result: object): void {
  const file = join(benchFolder, 'results', `${name}.json`);
  let results: object = {};
  try {
    results = JSON.parse(readFileSync(file, 'utf8')) as object;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    mkdirSync(dirname(file), { recursive: true });
  }
  writeFileSync(file, `${JSON.stringify({ ...results, [part]: result }, null, 2)}\n`);
}

function machineLine({ cpu, cores, system, node, pm2, loadAverage1m }: Machine): string {
  return `${cpu}, ${cores} cores, ${system}, Node ${node}, PM2 ${pm2}, load average before ${loadAverage1m}`;
}

function verdictLine({ what, measured, limit, unit, met }: Verdict): string {
  const figures = `${measured} of at most ${limit} ${unit}`.trimEnd();
  return `  ${met ? 'met   ' : 'MISSED'}  ${what}: ${figures}`;
}
