/**
 * What 200 agents cost their supervisor: its CPU time with them and, before, without, the same 200 instances supervised.
 *
 * These are `sleep 36000`, because 200 of Node would be all that the machine does. Agents speak in their name from one
 * process (crowdPeer.cjs), so that for the supervisor everything is as it is: it knows the instances, keeps their last
 * minute, judges and shows them.
 */
import { fork } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePortRange } from '../../test/support/ports.js';
import { waitFor } from '../../test/support/waitFor.js';
import { benchFolder, rootFolder } from '../lib/paths.js';
import { measureUsage, type Usage } from '../lib/processUsage.js';
import { median, rounded } from '../lib/statistics.js';
import { formatTable } from '../lib/table.js';
import { atMost, type Verdict } from '../lib/target.js';
import { pause } from '../lib/time.js';
import { Api } from '../supervisor/api.js';
import { createHome } from '../supervisor/deployment.js';

export interface CrowdRow {
  readonly agents: number;
  /** Of the supervisor, in % of one core: the median of the windows, and each of them. */
  readonly cpuPercent: number;
  readonly cpuWindows: readonly number[];
  readonly memoryMegabytes: number;
}

export interface CrowdOptions {
  readonly agents: number;
  readonly windows: number;
  readonly windowMs: number;
  readonly settleMs: number;
}

const SERVICE = 'sleeper';
const MEGABYTE = 2 ** 20;
const MOST_MORE_CPU_PERCENT = 3;
const DEADLINE_MS = 120_000;

export async function measureCrowd(options: CrowdOptions, say: (text: string) => void): Promise<CrowdRow[]> {
  const { agents } = options;
  const { pm2, dispose } = createHome();
  try {
    const apiPort = await freePortRange(1);
    const file = join(pm2.home, 'ecosystem.config.cjs');
    writeFileSync(file, ecosystem(pm2.home, agents, apiPort));
    say(`starting ${agents} instances`);
    await pm2.pm2('start', file, '--only', SERVICE);
    await pm2.pm2('start', file, '--only', 'ha-supervisor');
    const api = new Api(apiPort);
    await waitFor(async () => (await serving(api)) === agents, {
      what: `${agents} serving instances`,
      deadlineMs: DEADLINE_MS,
      intervalMs: 500,
    });
    const { pid } = (await api.status()).node;
    const pids = (await pm2.jlist()).flatMap((row) => (row.name === SERVICE ? [row.pid] : []));
    say('the supervisor without agents');
    const alone = await watch(pid, options);
    say(`with ${agents} agents`);
    const crowd = await startCrowd(join(pm2.home, 'data/run/agents.sock'), pids);
    const crowded = await watch(pid, options);
    crowd.leave();
    return [row(0, alone), row(agents, crowded)];
  } finally {
    await dispose();
  }
}

async function serving(api: Api): Promise<number> {
  const { services } = await api.status();
  return (
    services.find(({ name }) => name === SERVICE)?.instances.filter((instance) => instance.serving).length ??
    0
  );
}

async function startCrowd(path: string, pids: readonly number[]): Promise<{ leave(): void }> {
  const child = fork(join(benchFolder, 'agent/crowdPeer.cjs'));
  let joined = 0;
  child.on('message', (message) => ({ joined } = message as { joined: number }));
  child.send({ path, pids });
  await waitFor(() => joined === pids.length, {
    what: `${pids.length} agents to be welcome`,
    deadlineMs: 30_000,
  });
  return { leave: () => child.disconnect() };
}

async function watch(pid: number, { windows, windowMs, settleMs }: CrowdOptions): Promise<Usage[]> {
  await pause(settleMs);
  const usages: Usage[] = [];
  for (let window = 0; window < windows; window += 1) usages.push(...(await measureUsage([pid], windowMs)));
  return usages;
}

function row(agents: number, usages: readonly Usage[]): CrowdRow {
  const cpuWindows = usages.map(({ cpuPercent }) => rounded(cpuPercent, 2));
  return {
    agents,
    cpuPercent: rounded(median(cpuWindows), 2),
    cpuWindows,
    memoryMegabytes: rounded(Math.max(...usages.map(({ memoryBytes }) => memoryBytes)) / MEGABYTE, 1),
  };
}

/** The supervisor as production defines it, beside a service whose instances do nothing. */
function ecosystem(home: string, instances: number, apiPort: number): string {
  const settings = {
    HA_PORT: String(apiPort),
    HA_DATA_DIR: join(home, 'data'),
    HA_LOG_DIR: join(home, 'logs'),
    PM2_HOME: home,
    AUTOSCALE: 'false',
    MAX_INSTANCES: String(instances),
    PORT_COUNT: String(instances + 1),
  };
  const service = {
    name: SERVICE,
    script: '/bin/sleep',
    args: ['36000'],
    interpreter: 'none',
    exec_mode: 'fork',
    cwd: home,
    instances,
    filter_env: [''],
    pmx: false,
    vizion: false,
    env: { PATH: process.env['PATH'] },
  };
  return `'use strict';
Object.assign(process.env, ${JSON.stringify(settings)});
const { defineSupervisor } = require(${JSON.stringify(join(rootFolder, 'backend/ecosystem.cjs'))});
const supervisor = defineSupervisor({ file: __filename, autoscale: false });
// Neither the checkout's .env nor its config.yml has a say in a measurement.
supervisor.env.HA_ROOT = ${JSON.stringify(home)};
module.exports = { apps: [${JSON.stringify(service)}, supervisor] };
`;
}

export function crowdTable(rows: readonly CrowdRow[]): string {
  return formatTable(
    ['agents', 'supervisor CPU %', 'MB'],
    rows.map(({ agents, cpuPercent, memoryMegabytes }) => [
      String(agents),
      cpuPercent.toFixed(2),
      memoryMegabytes.toFixed(0),
    ]),
  );
}

export function crowdVerdicts([alone, crowded]: readonly CrowdRow[]): Verdict[] {
  const more = rounded(crowded!.cpuPercent - alone!.cpuPercent, 2);
  const what = `supervisor CPU more with ${crowded!.agents} agents`;
  return [atMost(what, more, MOST_MORE_CPU_PERCENT, '% of a core')];
}
