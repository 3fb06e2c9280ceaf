/** Load from other people's programs: what measures should not be of one kind with what is measured. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
  const { url, connections, seconds, script } = options;
  return withFolder(async (folder) => {
    const args = ['-t', '1', '-c', String(connections), '-d', `${seconds}s`];
    if (script !== undefined) {
      const file = join(folder, 'script.lua');
      writeFileSync(file, script);
      args.push('-s', file);
    }
    const output = await runPinned(wrk, [...args, url]);
    const requests = Number(/(\d+) requests in/.exec(output)?.[1] ?? 0);
    const problem = /Non-2xx or 3xx responses: \d+|Socket errors: .*/.exec(output)?.[0];
    if (requests === 0 || problem !== undefined) {
      throw new Error(`wrk to ${url}: ${problem ?? `no answer\n${output}`}`);
    }
    return requests;
  });
}

export interface PacedOptions {
  readonly url: string;
  readonly connections: number;
  readonly perSecond: number;
  readonly seconds: number;
}

/**
 * At a given rate, spread over the connections: h2load in its HTTP/1.1 mode. Throws when a request failed, or when not
 * nine tenths of the rate were reached.
 * @returns time to the last byte of each answer, ms.
 */
export async function pace(h2load: string, options: PacedOptions): Promise<number[]> {
  const { url, connections, perSecond, seconds } = options;
  return withFolder(async (folder) => {
    const log = join(folder, 'requests.tsv');
    await runPinned(h2load, [
      ...['--h1', '-c', String(connections), '-D', String(seconds)],
      ...[`--rps=${perSecond / connections}`, `--log-file=${log}`, url],
    ]);
    const times: number[] = [];
    for (const line of readFileSync(log, 'latin1').split('\n')) {
      if (line === '') continue;
      const [, status, elapsedUs] = line.split('\t');
      if (status !== '200') throw new Error(`h2load to ${url}: a request ended with ${status}`);
      times.push(Number(elapsedUs) / 1_000);
    }
    if (times.length < 0.9 * perSecond * seconds) {
      throw new Error(`h2load to ${url}: ${times.length / seconds} a second were possible of ${perSecond}`);
    }
    return times;
  });
}

async function withFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-load-'));
  try {
    return await work(folder);
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
