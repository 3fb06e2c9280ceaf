/** A worker process inside this one: what it does when its primary tells it to start. */
import { readFileSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import { canReusePort } from '../primary/clusterWorkers.js';
import type { FromWorker, ToWorker } from '../primary/messages.js';
import { WorkerProcess, type WorkerSettings } from './workerProcess.js';

const SETTINGS: WorkerSettings = {
  limits: {},
  trustedProxies: [],
  proxyProtocolFrom: [],
  http2: true,
  tlsRedirectPort: null,
  token: null,
  secrets: [],
  tokenOnLoopback: false,
  accessLog: null,
  viaName: 'test',
  stop: { graceMs: 0, webSocketWindowMs: 0 },
  tunnelDrainMs: 0,
};

/** Starts one on a free port. @returns that port. */
function started(reusePort: boolean): Promise<number> {
  return new Promise((resolve, reject) => {
    let tell: (message: ToWorker<WorkerSettings>) => void = () => undefined;
    WorkerProcess.run({
      clock: new FakeClock(),
      random: () => 0,
      channel: {
        send: (message: FromWorker) => {
          if (message.kind === 'listening') resolve(message.port);
          if (message.kind === 'failed') reject(new Error(message.message));
        },
        onMessage: (listener) => (tell = listener),
        onClosed: () => undefined,
      },
      peerUserId: () => Promise.resolve(null),
      sockets: () => Promise.resolve(null),
      portOwners: { check: () => 'unknown' },
      exit: () => undefined,
    });
    onTestFinished(() => tell({ kind: 'end' }));
    tell({
      kind: 'start',
      listen: { host: '127.0.0.1', port: 0, tlsPort: null, reusePort, patienceMs: 0 },
      settings: SETTINGS,
      snapshot: { version: 1, routes: [], pools: [] },
      tls: null,
    });
  });
}

/** Sockets that listen on that port of 127.0.0.1, by the kernel's list (proc_pid_net(5); 0A is LISTEN). */
function listening(port: number): number {
  const address = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const rows = readFileSync('/proc/net/tcp', 'latin1').split('\n');
  return rows.filter((row) => row.includes(`: ${address} `) && row.includes(' 0A ')).length;
}

describe.skipIf(process.platform !== 'linux')('the plain port', () => {
  it.skipIf(!canReusePort(process.versions.node, process.platform))(
    'has eight sockets where they may share it, because each brings one connection in a turn of the event loop',
    async () => {
      expect(listening(await started(true))).toBe(8);
    },
  );

  it('has one where they may not', async () => {
    expect(listening(await started(false))).toBe(1);
  });
});
