/** The `gateway` bench: what a request costs and how long it takes, beside HAProxy, nginx and http-proxy. */
import { say, type Measurement } from '../lib/report.js';
import { costTable, costVerdicts, measureCost } from './cost.js';

export const GATEWAY_PARTS: Readonly<Record<string, Measurement>> = {
  cost: async (quick) => {
    const rows = await measureCost(quick ? { rounds: 1, seconds: 2 } : { rounds: 5, seconds: 4 }, say);
    const title = 'CPU time per request, one core each (medians)';
    return { title, table: costTable(rows), rows, targets: costVerdicts(rows) };
  },
};
