/**
 * Entry of the agent: what `node --require <root>/backend/preload.cjs` loads into every instance, before the application
 * and for CommonJS and ES modules alike.
 *
 * Threads of the application load it, too, and stop at once: there is one agent a process, so the rest is loaded only
 * where it is needed. Without a
 * supervisor's socket nothing happens at all. Nothing here may ever throw into the application.
 */
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import type * as Host from './host.js';
import type * as Inheritance from './inheritance.js';

if (isMainThread) {
  try {
    const { takeOutPreload, takeSocketPath } = require('./inheritance.js') as typeof Inheritance;
    takeOutPreload(process.execArgv, [__filename, join(__dirname, '../../preload.cjs')]);
    const socketPath = takeSocketPath(process.env);
    if (socketPath !== null) {
      const { startHost } = require('./host.js') as typeof Host;
      startHost(socketPath);
    }
  } catch {
    // An instance without an agent is served as well as before there were agents.
  }
}
