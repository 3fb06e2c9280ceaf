/** `npm run bench -- NAME [options]`: measurements beside peers, in the same run on the same machine. */
import { parseArgs } from 'node:util';
import { AGENT_PARTS } from './agent/run.js';
import { BALANCING_PARTS } from './balancing/run.js';
import { endNeighbours } from './gateway/neighbour.js';
import { endAllProcesses } from './gateway/processes.js';
import { GATEWAY_PARTS } from './gateway/run.js';
import { chooseNode, majorOf } from './lib/nodes.js';
import { runBench, type Measurement } from './lib/report.js';
import { disposeAll } from './supervisor/deployment.js';
import { SUPERVISOR_PARTS } from './supervisor/run.js';

const BENCHES: ReadonlyMap<string, Readonly<Record<string, Measurement>>> = new Map([
  ['supervisor', SUPERVISOR_PARTS],
  ['gateway', GATEWAY_PARTS],
  ['balancing', BALANCING_PARTS],
  ['agent', AGENT_PARTS],
]);

const partsOf = (name: string): string => Object.keys(BENCHES.get(name)!).join('|');

const usage = `Usage: npm run bench -- NAME [--only PART]... [--quick]
       npm run bench -- gateway [--node NODE] [--runs N] [--neighbour]

  supervisor   CPU and memory of the supervisor, time of scale +1 to serving, a rolling replacement; beside PM2.
               Parts: ${partsOf('supervisor')}
  gateway      CPU per request, latency at half load, idle WebSockets, number of upstreams; beside HAProxy, nginx and
               http-proxy. Parts: ${partsOf('gateway')}
  balancing    What choosing an upstream costs with 4, 100 and 1 000 of them. Parts: ${partsOf('balancing')}
  agent        What the agent costs its host (throughput, memory, start), and 200 of them their supervisor.
               Parts: ${partsOf('agent')}

  --only PART  only this part; may be given several times
  --quick      a few minutes less of it: to see that it works, not to quote
  --node NODE  the Node that the gateway and the floor run on: 20, 24, 24.21.0 (installed once into run/nodes), or a path;
               default: the one that runs the bench
  --runs N     measures the latency N times, each time with new processes; its target is to be met every time
  --neighbour  measures the latency beside a process that keeps half a core busy; then not at real-time priority
  --help       this text

Linux only. Everything runs in temporary folders and is gone afterwards. Exits with 1 when a target is missed, with 2
when it could not be measured. What was not --quick is kept in bench/results/NAME.json, that of the gateway in
bench/results/gateway-nodeVERSION.json.`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      only: { type: 'string', multiple: true },
      quick: { type: 'boolean', default: false },
      node: { type: 'string' },
      runs: { type: 'string', default: '1' },
      neighbour: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const [name = '', ...rest] = positionals;
  const measure = BENCHES.get(name);
  if (measure === undefined || rest.length > 0) {
    console.error(`Name one bench: ${[...BENCHES.keys()].join(' or ')}.\n\n${usage}`);
    return 2;
  }
  const parts = [...new Set(values.only ?? Object.keys(measure))];
  const unknown = parts.find((part) => !Object.hasOwn(measure, part));
  if (unknown !== undefined) {
    console.error(`There is no part "${unknown}".\n\n${usage}`);
    return 2;
  }
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) {
    console.error(`--runs takes a whole number from 1, not "${values.runs}".\n\n${usage}`);
    return 2;
  }
  const node = await chooseNode(values.node);
  const results = name === 'gateway' ? `gateway-node${majorOf(node)}` : name;
  const { quick, neighbour } = values;
  return (await runBench(measure, { parts, results, quick, node, runs, neighbour })) ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    console.error('Interrupted: ending what was started …');
    endNeighbours();
    void Promise.all([disposeAll(), endAllProcesses()]).finally(() => process.exit(2));
  });
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 2;
  },
);
