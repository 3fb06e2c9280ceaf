/** The `gateway` bench: what a request costs and how long it takes, beside HAProxy, nginx and http-proxy. */
import { atRealTimePriority } from '../lib/realTime.js';
import { say, type Measurement } from '../lib/report.js';
import { costTable, costVerdicts, measureCost } from './cost.js';
import { latencyTable, latencyVerdicts, measureLatency } from './latency.js';
import { measureUpstreamCount, upstreamCountTable, upstreamCountVerdicts } from './upstreamCount.js';
import { measureWebSockets, webSocketTable } from './webSockets.js';

const ROUNDS = { rounds: 5, seconds: 4 };
const QUICK_ROUNDS = { rounds: 1, seconds: 2 };
/**
 * Long ones: the first moments, in which all connections are opened, must not be a hundredth of the requests. Many,
 * because whatever else the machine does shows in the slowest hundredth, of one proxy in one round.
 */
const LATENCY_ROUNDS = { rounds: 25, seconds: 8 };

export const GATEWAY_PARTS: Readonly<Record<string, Measurement>> = {
  cost: async (quick) => {
    const rows = await measureCost(quick ? QUICK_ROUNDS : ROUNDS, say);
    const title = 'CPU time per request, one core each (medians)';
    return { title, table: costTable(rows), rows, targets: costVerdicts(rows) };
  },
  latency: async (quick) => {
    const { result, granted } = await atRealTimePriority(() =>
      measureLatency(quick ? QUICK_ROUNDS : LATENCY_ROUNDS, say),
    );
    const rows = result.map((row) => ({ ...row, realTimePriority: granted }));
    const priority = granted ? 'real-time priority' : 'NOT at real-time priority, which takes root';
    const title = `Latency at half load (medians of the rounds; ${priority})`;
    return { title, table: latencyTable(rows), rows, targets: latencyVerdicts(rows) };
  },
  websockets: async () => {
    const rows = await measureWebSockets(say);
    return { title: 'Memory of idle WebSockets', table: webSocketTable(rows), rows, targets: [] };
  },
  upstreams: async (quick) => {
    const rows = await measureUpstreamCount(quick ? QUICK_ROUNDS : ROUNDS, say);
    const title = 'Cost of a small answer against the number of upstreams';
    return { title, table: upstreamCountTable(rows), rows, targets: upstreamCountVerdicts(rows) };
  },
};
