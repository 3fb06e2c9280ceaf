/** What a figure was measured on: without it, it is worth nothing. */
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { rootFolder } from './paths.js';

export interface Machine {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGigabytes: number;
  readonly system: string;
  readonly node: string;
  readonly pm2: string;
  /** Of the minute before: much above 0, and others were at work too. */
  readonly loadAverage1m: number;
}

/** @param node version of the Node that what is measured runs on. */
export function describeMachine(node: string): Machine {
  const manifest = JSON.parse(readFileSync(join(rootFolder, 'node_modules/pm2/package.json'), 'utf8')) as {
    version: string;
  };
  return {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGigabytes: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()}`,
    node,
    pm2: manifest.version,
    loadAverage1m: Number((loadavg()[0] ?? 0).toFixed(2)),
  };
}
