/**
 * Workers as processes of node:cluster, without its central accept: the primary shares the listening handle
 * (SCHED_NONE) and workers accept for themselves, or, where the system can (Node ≥ 22.12), each binds its own socket
 * with SO_REUSEPORT. Either way no connection passes through the primary.
 *
 * A shared handle has one queue: whoever is awake takes the next connection, and one that dies loses none that
 * waits. With SO_REUSEPORT each has a queue of its own, which the kernel fills by a hash: fairer under load, and two
 * gateways can hold the port during a handover.
 */
import cluster from 'node:cluster';
import type { Worker } from 'node:cluster';
import type { WorkerListeners, WorkerProcess } from './fleetOptions.js';
import { acceptedFlags, WORKER_FLAGS } from './workerFlags.js';

/** SO_REUSEPORT through `listen` came with 22.12 and 23.1; before, Node ignores the option. */
export function canReusePort(nodeVersion: string, platform: NodeJS.Platform): boolean {
  if (platform !== 'linux' && platform !== 'freebsd') return false;
  const [major = 0, minor = 0] = nodeVersion.split('.').map(Number);
  return major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12);
}

/** @param script the file that workers run. Called once per process. */
export function createSpawner(script: string): (listeners: WorkerListeners) => WorkerProcess {
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  cluster.setupPrimary({
    exec: script,
    args: [],
    // Not the primary's: its small heap is not for those who carry the traffic.
    execArgv: [...acceptedFlags(WORKER_FLAGS)],
    // A worker that wrote to the stdout of a PM2 daemon would die with it.
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  return (listeners) => spawn(listeners);
}

function spawn({ onMessage, onExit }: WorkerListeners): WorkerProcess {
  const worker: Worker = cluster.fork();
  worker.on('message', onMessage);
  worker.on('exit', (code: number | null, signal: string | null) => onExit({ code, signal }));
  worker.on('error', (error) => {
    // It could not even be started; anything else is followed by its exit.
    if (worker.process.pid === undefined) onExit({ code: null, signal: error.message });
  });
  return {
    pid: worker.process.pid ?? 0,
    // What can't be sent any more needs no answer: its exit is on the way.
    send: (message) => void (worker.isConnected() && worker.send(message as object, () => undefined)),
    kill: (signal) => void worker.process.kill(signal),
  };
}
