/**
 * What the agent costs a service that does little: memory, after some requests and some seconds, and the time from the
 * start of the process to its first answer. Processes without and with it are started in turns.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { freePortRange } from '../../test/support/ports.js';
import { firstAnswerMs, get } from '../lib/http.js';
import { median, rounded } from '../lib/statistics.js';
import { formatTable } from '../lib/table.js';
import { atMost, type Verdict } from '../lib/target.js';
import { pause } from '../lib/time.js';
import { INSTANCE, PRELOAD, startHost, startSupervision, type Supervision } from './hosts.js';

export interface MemoryRow {
  readonly agent: boolean;
  readonly rounds: number;
  /** Medians. Resident is what `ps` shows; private is what would not be there without this process. */
  readonly residentMegabytes: number;
  readonly privateMegabytes: number;
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
const WARM_REQUESTS = 2_000;
const SETTLE_MS = 3_000;
const SIDES = [false, true] as const;

export async function measureMemory(rounds: number, say: (text: string) => void): Promise<MemoryRow[]> {
  return inTurns(rounds, say, 'memory', async (agents) => {
    const { port, process } = await startHost(agents);
    try {
      for (let asked = 0; asked < WARM_REQUESTS; asked += 1) await get(port, '/');
      await pause(SETTLE_MS);
      const [pid = 0] = process.pids();
      return memoryOf(pid);
    } finally {
      await process.end();
    }
  }).then((sides) =>
    sides.map((samples, side) => ({
      agent: SIDES[side] === true,
      rounds,
      residentMegabytes: rounded(median(samples.map(({ resident }) => resident)), 1),
      privateMegabytes: rounded(median(samples.map((sample) => sample.private)), 1),
    })),
  );
}

function memoryOf(pid: number): { readonly resident: number; readonly private: number } {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const megabytes = (name: string): number =>
    (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1] ?? Number.NaN) * 1_024) / MEGABYTE;
  return { resident: megabytes('Rss'), private: megabytes('Private_Dirty') + megabytes('Private_Clean') };
}

export async function measureStart(rounds: number, say: (text: string) => void): Promise<StartRow[]> {
  const sides = await inTurns(rounds, say, 'start', startOnce);
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
async function inTurns<T>(
  rounds: number,
  say: (text: string) => void,
  what: string,
  measure: (agents: Supervision | null) => Promise<T>,
): Promise<T[][]> {
  const agents = await startSupervision();
  const results: T[][] = [[], []];
  try {
    for (let round = 0; round <= rounds; round += 1) {
      say(`${what}, round ${round} of ${rounds}`);
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
  return formatTable(
    ['', 'resident MB', 'private MB'],
    rows.map((row) => [nameOf(row), row.residentMegabytes.toFixed(1), row.privateMegabytes.toFixed(1)]),
  );
}

export function memoryVerdicts([without, withAgent]: readonly MemoryRow[]): Verdict[] {
  const more = (of: (row: MemoryRow) => number): number => rounded(of(withAgent!) - of(without!), 1);
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
