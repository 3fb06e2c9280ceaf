/**
 * Replacing ten instances under light traffic: `POST /api/ha/failover` (one at a time, new first, drained before it is
 * stopped) and `pm2 reload`. Traffic goes where whoever routes would send it: for Holdfast to the instances that its
 * event stream announces as serving, for PM2, which announces nothing, to the ten ports.
 */
import { startLoad, type LoadReport } from '../lib/load.js';
import { median, rounded } from '../lib/statistics.js';
import { formatTable } from '../lib/table.js';
import { atMost, type Verdict } from '../lib/target.js';
import { pause } from '../lib/time.js';
import { deploy, SERVICE } from './deployment.js';
import { connectPm2Peer } from './pm2Peer.js';

export interface RollingRow {
  readonly by: 'holdfast' | 'pm2';
  /** Median of the rounds, and each of them. */
  readonly tookSeconds: number;
  readonly rounds: readonly number[];
  readonly requests: number;
  readonly failed: number;
  readonly failures: Readonly<Record<string, number>>;
}

const INSTANCES = 10;
const REQUEST_INTERVAL_MS = 10;
/** Traffic before and after, which must not fail either. */
const MARGIN_MS = 500;

export async function measureRolling(rounds: number, say: (text: string) => void): Promise<RollingRow[]> {
  say(`rolling replacement of ${INSTANCES} instances, ${rounds} rounds each`);
  return [await withHoldfast(rounds), await withPm2(rounds)];
}

async function withHoldfast(rounds: number): Promise<RollingRow> {
  const deployment = await deploy(INSTANCES, 'cluster');
  try {
    const { api } = await deployment.startSupervisor();
    const following = await api.follow(SERVICE);
    const row = await repeat('holdfast', rounds, following.ports, () => api.failover(SERVICE));
    following.close();
    return row;
  } finally {
    await deployment.dispose();
  }
}

async function withPm2(rounds: number): Promise<RollingRow> {
  const deployment = await deploy(INSTANCES, 'cluster');
  try {
    const peer = await connectPm2Peer(deployment.pm2.env);
    const row = await repeat(
      'pm2',
      rounds,
      () => deployment.ports,
      () => peer.reload(SERVICE),
    );
    peer.close();
    return row;
  } finally {
    await deployment.dispose();
  }
}

async function repeat(
  by: RollingRow['by'],
  rounds: number,
  targets: () => readonly number[],
  replace: () => Promise<unknown>,
): Promise<RollingRow> {
  const times: number[] = [];
  const reports: LoadReport[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const endLoad = startLoad(targets, REQUEST_INTERVAL_MS);
    await pause(MARGIN_MS);
    const beganMs = performance.now();
    await replace();
    times.push(rounded((performance.now() - beganMs) / 1000, 2));
    await pause(MARGIN_MS);
    reports.push(await endLoad());
  }
  const failures: Record<string, number> = {};
  for (const [kind, count] of reports.flatMap((report) => Object.entries(report.failures))) {
    failures[kind] = (failures[kind] ?? 0) + count;
  }
  return {
    by,
    tookSeconds: rounded(median(times), 2),
    rounds: times,
    requests: reports.reduce((sum, { requests }) => sum + requests, 0),
    failed: reports.reduce((sum, { failed }) => sum + failed, 0),
    failures,
  };
}

export function rollingTable(rows: readonly RollingRow[]): string {
  return formatTable(
    ['by', 'seconds', 'requests', 'failed', 'how'],
    rows.map(({ by, tookSeconds, requests, failed, failures }) => [
      by,
      tookSeconds.toFixed(1),
      String(requests),
      String(failed),
      Object.entries(failures)
        .map(([kind, count]) => `${count} × ${kind}`)
        .join(', '),
    ]),
  );
}

export function rollingVerdicts(rows: readonly RollingRow[]): Verdict[] {
  return rows
    .filter(({ by }) => by === 'holdfast')
    .map(({ failed }) => atMost('requests that failed while ten instances were replaced', failed, 0, ''));
}
