/** The `agent` bench: what the agent costs its host, and what 200 of them cost their supervisor. */
import { say, type Measurement } from '../lib/report.js';
import { costTable, costVerdicts, measureCost } from './cost.js';
import { crowdTable, crowdVerdicts, measureCrowd } from './crowd.js';
import {
  measureMemory,
  measureStart,
  memoryTable,
  memoryVerdicts,
  startTable,
  startVerdicts,
} from './footprint.js';

/** After a minute there is a minute of figures to keep, and what runs once a second is compiled. */
const CROWD = { agents: 200, windows: 3, windowMs: 20_000, settleMs: 60_000 };
const QUICK_CROWD = { agents: 200, windows: 1, windowMs: 10_000, settleMs: 5_000 };

export const AGENT_PARTS: Readonly<Record<string, Measurement>> = {
  cost: async ({ quick }) => {
    const rows = await (quick ? measureCost(3, 2, say) : measureCost(25, 3, say));
    const title = 'A service under load, without and with the agent (medians)';
    return { title, table: costTable(rows), rows, targets: costVerdicts(rows) };
  },
  memory: async ({ quick }) => {
    const rows = await measureMemory(quick ? 1 : 5, say);
    return {
      title: 'Memory of an instance (medians)',
      table: memoryTable(rows),
      rows,
      targets: memoryVerdicts(rows),
    };
  },
  start: async ({ quick }) => {
    const rows = await measureStart(quick ? 5 : 30, say);
    const title = 'From the start of the process to its first answer (medians)';
    return { title, table: startTable(rows), rows, targets: startVerdicts(rows) };
  },
  supervisor: async ({ quick }) => {
    const rows = await measureCrowd(quick ? QUICK_CROWD : CROWD, say);
    return {
      title: 'The supervisor of 200 agents',
      table: crowdTable(rows),
      rows,
      targets: crowdVerdicts(rows),
    };
  },
};
