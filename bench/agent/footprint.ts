/**
 * What the agent costs a service that does little: memory, and the time from the start of the process to its first answer.
 * Without and with it in turns.
 *
 * A burst of requests makes V8's young generation grow in steps, which it takes back within a minute; right after one, the
 * difference of two processes says most of all in which step each of them is. So memory is taken both then and while a
 * few requests a second arrive, as they do where a service runs; that is what the targets are of.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { freePortRange } from '../../test/support/ports.js';
import { firstAnswerMs, get } from '../lib/http.js';
import { median, rounded } from '../lib/statistics.js';
import { formatTable } from '../lib/table.js';
import { atMost, type Verdict } from '../lib/target.js';
import { pause } from '../lib/time.js';
import { INSTANCE, PRELOAD, startHost, startSupervision, type Host, type Supervision } from './hosts.js';

/** Resident is what `ps` shows; private is what would not be there without this process. */
interface Footprint {
  readonly residentMegabytes: number;
  readonly privateMegabytes: number;
}

/** Medians. */
export interface MemoryRow {
  readonly agent: boolean;
  readonly rounds: number;
  readonly afterBurst: Footprint;
  readonly running: Footprint;
}

export interface StartRow {
  readonly agent: boolean;
  readonly rounds: number;
  readonly firstAnswerMs: number;
  readonly firstAnswerMs90: number;
}

const MEGABYTE = 2 ** 20;
const MOST_MORE_MEGABYTES = 12;
const MOST_MORE_START_MS = 60;
const BURST_REQUESTS = 2_000;
const AFTER_BURST_MS = 3_000;
const TRICKLE_INTERVAL_MS = 50;
/** V8 takes back what the burst made it grow within some 20 s of little work. */
const SETTLE_S = 30;
const WATCHED_S = 20;
const SIDES = [false, true] as const;

export async function measureMemory(rounds: number, say: (text: string) => void): Promise<MemoryRow[]> {
  const agents = await startSupervision();
  const results: Pick<MemoryRow, 'afterBurst' | 'running'>[][] = [[], []];
  try {
    for (let round = 1; round <= rounds; round += 1) {
      say(`memory, round ${round} of ${rounds}`);
      const hosts = [await startHost(null), await startHost(agents)];
      try {
        // At the same time: how fast they are does not matter here.
        const both = await Promise.all(hosts.map(watchMemory));
        for (const [side, footprints] of both.entries()) results[side]!.push(footprints);
      } finally {
        for (const { process } of hosts) await process.end();
      }
    }
  } finally {
    await agents.close();
  }
  return results.map((samples, side) => ({
    agent: SIDES[side] === true,
    rounds,
    afterBurst: middle(samples.map(({ afterBurst }) => afterBurst)),
    running: middle(samples.map(({ running }) => running)),
  }));
}

async function watchMemory({ port, process }: Host): Promise<Pick<MemoryRow, 'afterBurst' | 'running'>> {
  const [pid = 0] = process.pids();
  for (let asked = 0; asked < BURST_REQUESTS; asked += 1) await get(port, '/');
  await pause(AFTER_BURST_MS);
  const afterBurst = memoryOf(pid);
  const trickle = setInterval(() => void get(port, '/'), TRICKLE_INTERVAL_MS);
  try {
    await pause(SETTLE_S * 1_000);
    const samples: Footprint[] = [];
    for (let second = 0; second < WATCHED_S; second += 1) {
      await pause(1_000);
      samples.push(memoryOf(pid));
    }
    return { afterBurst, running: middle(samples) };
  } finally {
    clearInterval(trickle);
  }
}

function memoryOf(pid: number): Footprint {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const megabytes = (name: string): number =>
    (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1] ?? Number.NaN) * 1_024) / MEGABYTE;
  return {
    residentMegabytes: megabytes('Rss'),
    privateMegabytes: megabytes('Private_Dirty') + megabytes('Private_Clean'),
  };
}

function middle(samples: readonly Footprint[]): Footprint {
  return {
    residentMegabytes: rounded(median(samples.map(({ residentMegabytes }) => residentMegabytes)), 1),
    privateMegabytes: rounded(median(samples.map(({ privateMegabytes }) => privateMegabytes)), 1),
  };
}

export async function measureStart(rounds: number, say: (text: string) => void): Promise<StartRow[]> {
  const sides = await inTurns(rounds, say, startOnce);
  return sides.map((samples, side) => ({
    agent: SIDES[side] === true,
    rounds,
    firstAnswerMs: rounded(median(samples), 1),
    firstAnswerMs90: rounded(
      samples.toSorted((a, b) => a - b)[Math.floor(samples.length * 0.9)] ?? Number.NaN,
      1,
    ),
  }));
}

async function startOnce(agents: Supervision | null): Promise<number> {
  const port = await freePortRange(1);
  const preloading = agents === null ? [] : ['--require', PRELOAD];
  const child = spawn(process.execPath, [...preloading, INSTANCE], {
    stdio: 'ignore',
    env: {
      PATH: process.env['PATH'],
      PORT: String(port),
      ...(agents === null ? {} : { HOLDFAST_AGENT_SOCKET: agents.path }),
    },
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  try {
    return await firstAnswerMs(port);
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

/** One round of each that does not count, then `rounds`, each side first every other time. */
async function inTurns(
  rounds: number,
  say: (text: string) => void,
  measure: (agents: Supervision | null) => Promise<number>,
): Promise<number[][]> {
  const agents = await startSupervision();
  const results: number[][] = [[], []];
  try {
    for (let round = 0; round <= rounds; round += 1) {
      say(`start, round ${round} of ${rounds}`);
      for (const side of round % 2 === 0 ? [0, 1] : [1, 0]) {
        const result = await measure(SIDES[side] === true ? agents : null);
        if (round > 0) results[side]!.push(result);
      }
    }
    return results;
  } finally {
    await agents.close();
  }
}

const nameOf = ({ agent }: { readonly agent: boolean }): string => (agent ? 'with the agent' : 'without');

export function memoryTable(rows: readonly MemoryRow[]): string {
  const cells = ({ residentMegabytes, privateMegabytes }: Footprint): string[] => [
    residentMegabytes.toFixed(1),
    privateMegabytes.toFixed(1),
  ];
  return formatTable(
    ['', 'running: resident MB', 'private MB', 'after a burst: resident MB', 'private MB'],
    rows.map((row) => [nameOf(row), ...cells(row.running), ...cells(row.afterBurst)]),
  );
}

export function memoryVerdicts([without, withAgent]: readonly MemoryRow[]): Verdict[] {
  const more = (of: (footprint: Footprint) => number): number =>
    rounded(of(withAgent!.running) - of(without!.running), 1);
  return [
    atMost(
      'resident memory more with the agent',
      more(({ residentMegabytes }) => residentMegabytes),
      MOST_MORE_MEGABYTES,
      'MB',
    ),
    atMost(
      'private memory more with the agent',
      more(({ privateMegabytes }) => privateMegabytes),
      MOST_MORE_MEGABYTES,
      'MB',
    ),
  ];
}

export function startTable(rows: readonly StartRow[]): string {
  return formatTable(
    ['', 'first answer ms', '90 %'],
    rows.map((row) => [nameOf(row), row.firstAnswerMs.toFixed(0), row.firstAnswerMs90.toFixed(0)]),
  );
}

export function startVerdicts([without, withAgent]: readonly StartRow[]): Verdict[] {
  const more = rounded(withAgent!.firstAnswerMs - without!.firstAnswerMs, 1);
  return [atMost('start to first answer more with the agent', more, MOST_MORE_START_MS, 'ms')];
}
