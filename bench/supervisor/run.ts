/** The `supervisor` bench: what supervision costs and how fast it acts, beside PM2 itself in the same run. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeMachine } from '../lib/machine.js';
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

const resultsFile = join(benchFolder, 'results/supervisor.json');

/** Resolves with whether every target was met. */
export async function runSupervisorBench({ parts, quick }: RunOptions): Promise<boolean> {
  const machine = describeMachine();
  const verdicts: Verdict[] = [];
  const results: Record<string, unknown> = {};
  const say = (text: string): void => console.error(`… ${text}`);
  const show = (title: string, table: string): void => console.log(`\n${title}\n\n${table}`);
  console.log(
    `${machine.cpu}, ${machine.cores} cores, ${machine.system}, Node ${machine.node}, PM2 ${machine.pm2}, ` +
      `load average ${machine.loadAverage1m}`,
  );

  if (parts.includes('cpu')) {
    const long = { sizes: [4, 20, 100], windows: 3, windowMs: 30_000, settleMs: 20_000 };
    const short = { sizes: [4, 20], windows: 1, windowMs: 10_000, settleMs: 6_000 };
    const rows = await measureCost(quick ? short : long, say);
    results['cost'] = rows;
    verdicts.push(...costVerdicts(rows));
    show('Cost while nothing happens', costTable(rows));
  }
  if (parts.includes('scale')) {
    const rows = await measureScaleUp(quick ? 5 : 20, say);
    results['scaleUp'] = rows;
    verdicts.push(...scaleUpVerdicts(rows));
    show('One instance more, until it serves (medians)', scaleUpTable(rows));
  }
  if (parts.includes('rolling')) {
    const rows = await measureRolling(quick ? 1 : 3, say);
    results['rolling'] = rows;
    verdicts.push(...rollingVerdicts(rows));
    show('Ten instances replaced under traffic', rollingTable(rows));
  }

  console.log('\nTargets\n');
  for (const verdict of verdicts) console.log(formatVerdict(verdict));
  const met = verdicts.every((verdict) => verdict.met);
  if (!quick && parts.length === PARTS.length) {
    mkdirSync(join(benchFolder, 'results'), { recursive: true });
    writeFileSync(resultsFile, `${JSON.stringify({ machine, ...results, targets: verdicts }, null, 2)}\n`);
    console.log('\nWritten to bench/results/supervisor.json');
  }
  return met;
}

function formatVerdict({ what, measured, limit, unit, met }: Verdict): string {
  const figures = `${measured} of at most ${limit} ${unit}`.trimEnd();
  return `  ${met ? 'met   ' : 'MISSED'}  ${what}: ${figures}`;
}
