/** The `gateway` bench: what a request costs and how long it takes, beside HAProxy, nginx and http-proxy. */
import { atRealTimePriority } from '../lib/realTime.js';
import { say, type MeasureOptions, type Measurement } from '../lib/report.js';
import { costTable, costVerdicts, measureCost } from './cost.js';
import { latencyTable, latencyVerdicts, measureLatency } from './latency.js';
import { findPrograms, type Programs } from './processes.js';
import { measureUpstreamCount, upstreamCountTable, upstreamCountVerdicts } from './upstreamCount.js';
import { measureWebSockets, webSocketTable } from './webSockets.js';

const ROUNDS = { rounds: 5, seconds: 4 };
const QUICK_ROUNDS = { rounds: 1, seconds: 2 };
/**
 * Long ones: the first moments, in which all connections are opened, must not be a hundredth of the requests. Many,
 * because whatever else the machine does shows in the slowest hundredth, of one proxy in one round.
 */
const LATENCY_ROUNDS = { rounds: 15, seconds: 6 };

const programsOf = ({ node }: MeasureOptions): Programs => findPrograms(node.program);
const titleOf = (title: string, { node }: MeasureOptions): string => `${title}, Node ${node.version}`;

export const GATEWAY_PARTS: Readonly<Record<string, Measurement>> = {
  cost: async (options) => {
    const rows = await measureCost(programsOf(options), options.quick ? QUICK_ROUNDS : ROUNDS, say);
    const title = titleOf('CPU time per request, one core each (medians)', options);
    return { title, table: costTable(rows), rows, targets: costVerdicts(rows) };
  },
  latency: async (options) => {
    const { quick, runs, neighbour } = options;
    const rounds = quick ? QUICK_ROUNDS : LATENCY_ROUNDS;
    const measure = () => measureLatency(programsOf(options), { ...rounds, runs, neighbour }, say);
    // What has real-time priority would not notice a neighbour.
    const { result, granted } = neighbour
      ? { result: await measure(), granted: false }
      : await atRealTimePriority(measure);
    const rows = result.map((row) => ({ ...row, realTimePriority: granted }));
    const title = titleOf(
      `Latency at half load (medians of the rounds; ${conditions(neighbour, granted)})`,
      options,
    );
    const keptAs = neighbour ? 'latencyBesideNeighbour' : 'latency';
    return { title, table: latencyTable(rows), rows, targets: latencyVerdicts(rows, neighbour), keptAs };
  },
  websockets: async (options) => {
    const rows = await measureWebSockets(programsOf(options), say);
    return {
      title: titleOf('Memory of idle WebSockets', options),
      table: webSocketTable(rows),
      rows,
      targets: [],
    };
  },
  upstreams: async (options) => {
    const rows = await measureUpstreamCount(programsOf(options), options.quick ? QUICK_ROUNDS : ROUNDS, say);
    const title = titleOf('Cost of a small answer against the number of upstreams', options);
    return { title, table: upstreamCountTable(rows), rows, targets: upstreamCountVerdicts(rows) };
  },
};

function conditions(neighbour: boolean, atRealTime: boolean): string {
  if (neighbour) return 'beside a process that keeps half a core busy';
  return atRealTime ? 'real-time priority' : 'NOT at real-time priority, which takes root';
}
