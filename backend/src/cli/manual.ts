/**
 * What was started by hand, without PM2, and holds a lock in the data folder: `npm run cluster` and `npm run balancer`.
 * PM2 does not know them; these locks are how `npm stop` does.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { lockHolders } from '../lib/pidLock.js';
import { isSameProcessAlive, signalSameProcess, type ProcessIdentity } from '../lib/processIdentity.js';

export interface ManualProcess {
  /** What was typed: `npm run cluster`. */
  readonly command: string;
  readonly identity: ProcessIdentity;
}

const CLUSTER_LOCK = /^cluster-(\d+)\.lock$/;
const GATEWAY_LOCK = 'gateway.lock';
const POLL_MS = 50;

/** The lock of the instances that begin at this port. */
export function clusterLock(dataDir: string, firstPort: number): string {
  return join(dataDir, `cluster-${firstPort}.lock`);
}

/** The gateway first: it finishes what clients have under way while the instances still answer. */
export function manualProcesses(dataDir: string): readonly ManualProcess[] {
  const names = existsSync(dataDir) ? readdirSync(dataDir) : [];
  const holders = (name: string, command: string): ManualProcess[] =>
    lockHolders(join(dataDir, name)).map((identity) => ({ command, identity }));
  return [
    ...holders(GATEWAY_LOCK, 'npm run balancer'),
    ...names.filter((name) => CLUSTER_LOCK.test(name)).flatMap((name) => holders(name, 'npm run cluster')),
  ];
}

/** Asks it to end, and waits. @returns whether it has ended within `timeoutMs`. */
export async function endManual({ identity }: ManualProcess, timeoutMs: number): Promise<boolean> {
  signalSameProcess(identity, 'SIGTERM');
  const deadline = performance.now() + timeoutMs;
  while (isSameProcessAlive(identity)) {
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return true;
}
