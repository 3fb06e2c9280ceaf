/**
 * The entry of a gateway's workers, which the primary forks: the data path and nothing of what the primary needs, so that
 * a worker that died is back as soon as possible and small.
 */
import { systemClock } from './adapters/clock.js';
import { peerUserId } from './adapters/net/peerUser.js';
import { portOwners } from './adapters/net/portOwners.js';
import { tcpSockets } from './adapters/net/tcpSockets.js';
import { clusterChannel } from './gateway/worker/clusterChannel.js';
import { WorkerProcess } from './gateway/worker/workerProcess.js';

// PM2 signals the whole process tree, a terminal the whole group: a worker ends when its primary says so.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'] as const) process.on(signal, () => undefined);
// Whoever read our stderr may be gone.
process.stderr.on('error', () => undefined);
WorkerProcess.run({
  clock: systemClock,
  random: Math.random,
  channel: clusterChannel(),
  peerUserId: (connection) => peerUserId(connection),
  sockets: () => tcpSockets(),
  portOwners,
  exit: (code) => process.exit(code),
});
