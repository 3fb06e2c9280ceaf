/**
 * What supervision costs while nothing happens: CPU and memory of the supervisor, and of PM2's daemon before and
 * after the supervisor asks it for its list once a second.
 */
import { measureUsage } from '../lib/processUsage.js';
import { median, rounded } from '../lib/statistics.js';
import { formatTable } from '../lib/table.js';
import { atMost, type Verdict } from '../lib/target.js';
import { pause } from '../lib/time.js';
import { deploy } from './deployment.js';

export interface CostRow {
  readonly instances: number;
  /** Whether each carries an agent. What agents may cost has targets of its own: the `agent` bench. */
  readonly agents: boolean;
  /** % of one core: the median of the windows, and each of them. */
  readonly supervisorCpuPercent: number;
  readonly supervisorCpuWindows: readonly number[];
  /** The largest that was seen. */
  readonly supervisorMemoryMegabytes: number;
  /** PM2's daemon alone, before the supervisor was started. */
  readonly daemonAloneCpuPercent: number;
  readonly daemonSupervisedCpuPercent: number;
  readonly daemonMemoryMegabytes: number;
}

export interface CostOptions {
  readonly sizes: readonly { readonly instances: number; readonly agents: boolean }[];
  readonly windows: number;
  readonly windowMs: number;
  /** From the supervisor's start to the first window: it compiles what it runs often and probes what is new. */
  readonly settleMs: number;
}

const MEGABYTE = 2 ** 20;

export async function measureCost(options: CostOptions, say: (text: string) => void): Promise<CostRow[]> {
  const rows: CostRow[] = [];
  for (const { instances, agents } of options.sizes) {
    say(`cost with ${instances} instances${agents ? ' that carry an agent' : ''}`);
    rows.push(await measureOne(instances, agents, options));
  }
  return rows;
}

async function measureOne(
  instances: number,
  agents: boolean,
  { windows, windowMs, settleMs }: CostOptions,
): Promise<CostRow> {
  const deployment = await deploy(instances, 'cluster', agents);
  try {
    await pause(settleMs / 2);
    const [alone] = await measureUsage([deployment.daemonPid()], windowMs);
    const { pid } = await deployment.startSupervisor();
    await pause(settleMs);
    const supervisor = [];
    const daemon = [];
    for (let window = 0; window < windows; window += 1) {
      const [own, peer] = await measureUsage([pid, deployment.daemonPid()], windowMs);
      supervisor.push(own!);
      daemon.push(peer!);
    }
    const cpuWindows = supervisor.map(({ cpuPercent }) => cpuPercent);
    return {
      instances,
      agents,
      supervisorCpuPercent: rounded(median(cpuWindows), 2),
      supervisorCpuWindows: cpuWindows.map((cpuPercent) => rounded(cpuPercent, 2)),
      supervisorMemoryMegabytes: largestMegabytes(supervisor),
      daemonAloneCpuPercent: rounded(alone!.cpuPercent, 2),
      daemonSupervisedCpuPercent: rounded(median(daemon.map(({ cpuPercent }) => cpuPercent)), 2),
      daemonMemoryMegabytes: largestMegabytes(daemon),
    };
  } finally {
    await deployment.dispose();
  }
}

function largestMegabytes(usages: readonly { readonly memoryBytes: number }[]): number {
  return rounded(Math.max(...usages.map(({ memoryBytes }) => memoryBytes)) / MEGABYTE, 1);
}

export function costTable(rows: readonly CostRow[]): string {
  return formatTable(
    ['instances', 'agents', 'supervisor CPU %', 'MB', 'PM2 daemon alone CPU %', 'supervised CPU %', 'MB'],
    rows.map((row) => [
      String(row.instances),
      row.agents ? 'yes' : 'no',
      row.supervisorCpuPercent.toFixed(2),
      row.supervisorMemoryMegabytes.toFixed(0),
      row.daemonAloneCpuPercent.toFixed(2),
      row.daemonSupervisedCpuPercent.toFixed(2),
      row.daemonMemoryMegabytes.toFixed(0),
    ]),
  );
}

export function costVerdicts(rows: readonly CostRow[]): Verdict[] {
  return rows.flatMap(({ instances, agents, supervisorCpuPercent, supervisorMemoryMegabytes }) => {
    if (agents) return [];
    if (instances === 20) {
      return [
        atMost('supervisor CPU at 20 instances', supervisorCpuPercent, 1, '% of a core'),
        atMost('supervisor memory at 20 instances', supervisorMemoryMegabytes, 110, 'MB'),
      ];
    }
    return instances === 100
      ? [atMost('supervisor CPU at 100 instances', supervisorCpuPercent, 3, '% of a core')]
      : [];
  });
}
