/**
 * One instance more: from the call to the first 200 on the new instance's port, through `POST /api/ha/scale-up` and
 * through PM2's own `scale(app, '+1')`, in turns. Both services run all the time, each under its own daemon.
 */
import { firstAnswerMs, get } from '../lib/http.js';
import { median, quantile, rounded } from '../lib/statistics.js';
import { formatTable } from '../lib/table.js';
import { atMost, type Verdict } from '../lib/target.js';
import { pause } from '../lib/time.js';
import { waitFor } from '../../test/support/waitFor.js';
import type { Api } from './api.js';
import { deploy, SERVICE, type Deployment } from './deployment.js';
import { connectPm2Peer, type Pm2Peer } from './pm2Peer.js';

export interface Times {
  /** To the first 200 on the new port, ms. */
  readonly servingMs: number;
  readonly servingMs90: number;
  /** Until the call was answered, ms: ours verifies that the instance is healthy, PM2 that it was launched. */
  readonly answeredMs: number;
}

export interface ScaleUpRow {
  readonly mode: 'cluster' | 'fork';
  readonly rounds: number;
  readonly holdfast: Times;
  readonly pm2: Times;
  /** Of the medians to serving. */
  readonly ratio: number;
}

interface Sample {
  readonly servingMs: number;
  readonly answeredMs: number;
}

const INSTANCES = 4;
/** Between two rounds, so that none sees what the one before left to do. */
const QUIET_MS = 300;
const MODES = ['cluster', 'fork'] as const;

export async function measureScaleUp(rounds: number, say: (text: string) => void): Promise<ScaleUpRow[]> {
  const rows: ScaleUpRow[] = [];
  for (const mode of MODES) {
    say(`scale +1 in ${mode} mode, ${rounds} rounds each`);
    rows.push(await measureMode(mode, rounds));
  }
  return rows;
}

async function measureMode(mode: 'cluster' | 'fork', rounds: number): Promise<ScaleUpRow> {
  const open: Deployment[] = [];
  try {
    const ours = await deploy(INSTANCES, mode);
    open.push(ours);
    const theirs = await deploy(INSTANCES, mode);
    open.push(theirs);
    const { api } = await ours.startSupervisor();
    const peer = await connectPm2Peer(theirs.pm2.env);
    const holdfast: Sample[] = [];
    const pm2: Sample[] = [];
    const turns = [
      async () => void holdfast.push(await growWithHoldfast(api, ours)),
      async () => void pm2.push(await growWithPm2(peer)),
    ];
    // The first round of each is not counted: nobody scales with code that has never run.
    for (let round = 0; round <= rounds; round += 1) {
      for (const turn of round % 2 === 0 ? turns : turns.toReversed()) {
        await turn();
        await pause(QUIET_MS);
      }
    }
    peer.close();
    const own = summarize(holdfast.slice(1));
    const reference = summarize(pm2.slice(1));
    return {
      mode,
      rounds,
      holdfast: own,
      pm2: reference,
      ratio: rounded(own.servingMs / reference.servingMs, 2),
    };
  } finally {
    for (const deployment of open) await deployment.dispose();
  }
}

async function growWithHoldfast(api: Api, { firstPort }: Deployment): Promise<Sample> {
  const port = firstPort + INSTANCES; // the lowest free one
  const answered = timed(() => api.scale('up', SERVICE));
  const servingMs = await firstAnswerMs(port);
  const answeredMs = await answered;
  await api.scale('down', SERVICE);
  await closed(port);
  return { servingMs, answeredMs };
}

async function growWithPm2(peer: Pm2Peer): Promise<Sample> {
  const port = Math.max(...(await peer.instances(SERVICE)).map((instance) => instance.port)) + 1;
  const answered = peer.scale(SERVICE, '+1');
  const servingMs = await firstAnswerMs(port);
  const answeredMs = await answered;
  await peer.removeNewest(SERVICE);
  await closed(port);
  return { servingMs, answeredMs };
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const beganMs = performance.now();
  await run();
  return performance.now() - beganMs;
}

async function closed(port: number): Promise<void> {
  await waitFor(async () => (await get(port, '/')) !== 200, { what: `port ${port} to close` });
}

function summarize(samples: readonly Sample[]): Times {
  const serving = samples.map(({ servingMs }) => servingMs);
  return {
    servingMs: rounded(median(serving), 1),
    servingMs90: rounded(quantile(serving, 0.9), 1),
    answeredMs: rounded(median(samples.map(({ answeredMs }) => answeredMs)), 1),
  };
}

export function scaleUpTable(rows: readonly ScaleUpRow[]): string {
  const line = (mode: string, who: string, { servingMs, servingMs90, answeredMs }: Times): string[] => [
    mode,
    who,
    ...[servingMs, servingMs90, answeredMs].map((value) => value.toFixed(0)),
  ];
  return formatTable(
    ['mode', 'by', 'serving ms', '90 %', 'answered ms', 'ratio'],
    rows.flatMap(({ mode, holdfast, pm2, ratio }) => [
      [...line(mode, 'holdfast', holdfast), ratio.toFixed(2)],
      line('', 'pm2', pm2),
    ]),
  );
}

export function scaleUpVerdicts(rows: readonly ScaleUpRow[]): Verdict[] {
  return rows.map(({ mode, ratio }) => atMost(`+1 to serving, ${mode}`, ratio, 1.3, '× PM2'));
}
