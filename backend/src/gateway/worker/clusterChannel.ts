/** A worker's channel to its primary, in a process that node:cluster forked. */
import cluster from 'node:cluster';
import type { WorkerChannel } from './workerProcess.js';
import type { ToWorker } from '../primary/messages.js';
import type { WorkerSettings } from './workerProcess.js';

/** @throws Error in a process that is not a worker. */
export function clusterChannel(): WorkerChannel {
  const { worker } = cluster;
  if (worker === undefined) throw new Error('this process is not a worker of a cluster');
  // Node ends a worker at once whose primary is gone, with everything it has under way. Ours knows what to do then.
  worker.exitedAfterDisconnect = true;
  return {
    send: (message) => {
      if (worker.isConnected()) worker.send(message, () => undefined);
    },
    // Our own primary's words; it runs the same build.
    onMessage: (listener) =>
      void worker.on('message', (raw: unknown) => listener(raw as ToWorker<WorkerSettings>)),
    onClosed: (listener) => void worker.on('disconnect', listener),
  };
}
