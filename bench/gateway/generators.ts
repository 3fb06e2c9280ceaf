/** Load from wrk: what measures should not be of one kind with what is measured. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OTHER_CORE } from './processes.js';

export interface WrkOptions {
  readonly url: string;
  readonly connections: number;
  readonly seconds: number;
  /** For wrk, Lua. */
  readonly script?: string;
}

/** As much as there is room for: wrk with one thread. @returns requests that were answered with 2xx. */
export async function saturate(wrk: string, options: WrkOptions): Promise<number> {
  return requestsIn(await runWrk(wrk, [], options), options.url);
}

export interface PacedOptions {
  readonly url: string;
  readonly perSecond: number;
  readonly seconds: number;
}

export interface PacedLoad {
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** As it was; a little less than asked for, because answering takes time, too. */
  readonly perSecond: number;
}

/** Mean pause of a connection between an answer and its next request. */
const PAUSE_MS = 20;
/**
 * wrk opens all its connections at once. Their first requests come one after the other within this time after it, so
 * that what is measured is the load and not what hundreds of new connections cost, which the generator never repeats.
 */
const FIRST_REQUESTS_MS = { from: 200, to: 1_200 };
const LEAST_SHARE_OF_RATE = 0.6;

/**
 * At a given rate: as many connections as it takes when each pauses for a random time after every answer, so that
 * requests come independently of each other and not in step. Throws when it was nowhere near that rate.
 */
export async function pace(wrk: string, { url, perSecond, seconds }: PacedOptions): Promise<PacedLoad> {
  const connections = Math.ceil((perSecond * PAUSE_MS) / 1_000);
  const output = await runWrk(wrk, ['--latency'], {
    url,
    connections,
    seconds,
    script: `
      local began = 0
      function delay()
        began = began + 1
        if began <= ${connections} then
          return math.random(${FIRST_REQUESTS_MS.from}, ${FIRST_REQUESTS_MS.to})
        end
        return math.random(0, ${2 * PAUSE_MS})
      end`,
  });
  const reached = requestsIn(output, url) / seconds;
  if (reached < LEAST_SHARE_OF_RATE * perSecond) {
    throw new Error(`wrk to ${url}: ${Math.round(reached)} a second were possible of ${perSecond}`);
  }
  const percentile = (percent: number): number => {
    const found = new RegExp(`^ +${percent}% +([\\d.]+)(us|ms|s)$`, 'm').exec(output);
    if (found === null) throw new Error(`wrk said no latency:\n${output}`);
    return Number(found[1]) * { us: 0.001, ms: 1, s: 1_000 }[found[2] as 'us' | 'ms' | 's'];
  };
  return { p50Ms: percentile(50), p99Ms: percentile(99), perSecond: Math.round(reached) };
}

/** @throws when a request failed. */
function requestsIn(output: string, url: string): number {
  const requests = Number(/(\d+) requests in/.exec(output)?.[1] ?? 0);
  const problem = /Non-2xx or 3xx responses: \d+|Socket errors: .*/.exec(output)?.[0];
  if (requests === 0 || problem !== undefined) {
    throw new Error(`wrk to ${url}: ${problem ?? `no answer\n${output}`}`);
  }
  return requests;
}

async function runWrk(wrk: string, more: readonly string[], options: WrkOptions): Promise<string> {
  const { url, connections, seconds, script } = options;
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-load-'));
  try {
    const args = ['-t', '1', '-c', String(connections), '-d', `${seconds}s`, ...more];
    if (script !== undefined) {
      const file = join(folder, 'script.lua');
      writeFileSync(file, script);
      args.push('-s', file);
    }
    return await runPinned(wrk, [...args, url]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function runPinned(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('taskset', ['--cpu-list', String(OTHER_CORE), program, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    }
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(output);
      else reject(new Error(`${program} ended with ${code}:\n${output}`));
    });
  });
}
