/**
 * Asks whether somebody accepts connections on an instance's port. For services that speak no HTTP: the kernel
 * accepts on behalf of a hung process, so that this probe does not see a hang.
 */
import { connect } from 'node:net';

import { explainError, runProbe, type Probe } from './probe.js';

export const probeTcp: Probe<'tcp'> = (target, _spec, timeoutMs) =>
  runProbe(
    timeoutMs,
    () => 'connection',
    (settle) => {
      const socket = connect(target.port, target.host);
      socket.once('connect', () => settle({ ok: true }));
      socket.on('error', (error) => settle(explainError(error, '')));
      return () => socket.destroy();
    },
  );
