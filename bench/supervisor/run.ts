/** The `supervisor` bench: what supervision costs and how fast it acts, beside PM2 itself in the same run. */
import { say, type Measurement } from '../lib/report.js';
import { costTable, costVerdicts, measureCost } from './cost.js';
import { measureRolling, rollingTable, rollingVerdicts } from './rolling.js';
import { measureScaleUp, scaleUpTable, scaleUpVerdicts } from './scaleUp.js';

const withoutAndWith = (instances: number): { instances: number; agents: boolean }[] =>
  [false, true].map((agents) => ({ instances, agents }));
const COST = {
  sizes: [4, 20, 100].flatMap(withoutAndWith),
  windows: 3,
  windowMs: 30_000,
  settleMs: 20_000,
};
const QUICK_COST = { sizes: [4, 20].flatMap(withoutAndWith), windows: 1, windowMs: 10_000, settleMs: 6_000 };

export const SUPERVISOR_PARTS: Readonly<Record<string, Measurement>> = {
  cpu: async ({ quick }) => {
    const rows = await measureCost(quick ? QUICK_COST : COST, say);
    return { title: 'Cost while nothing happens', table: costTable(rows), rows, targets: costVerdicts(rows) };
  },
  scale: async ({ quick }) => {
    const rows = await measureScaleUp(quick ? 5 : 20, say);
    const title = 'One instance more, until it serves (medians)';
    return { title, table: scaleUpTable(rows), rows, targets: scaleUpVerdicts(rows) };
  },
  rolling: async ({ quick }) => {
    const rows = await measureRolling(quick ? 1 : 3, say);
    const title = 'Ten instances replaced under traffic';
    return { title, table: rollingTable(rows), rows, targets: rollingVerdicts(rows) };
  },
};
