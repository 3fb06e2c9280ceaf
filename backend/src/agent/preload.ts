/**
 * Entry of the agent: what `node --require <root>/backend/preload.cjs` loads into every instance, before the application
 * and for CommonJS and ES modules alike.
 *
 * Threads of the application load it, too. There is one agent a process, so in them it only takes itself out of the
 * options that they would hand on. Without a supervisor's socket nothing else happens at all. Nothing here may ever throw
 * into the application.
 */
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import type * as Host from './host.js';
import type * as LastWords from './lastWords.js';
import { takeOutPreload, takeSocketPath } from './inheritance.js';

try {
  takeOutPreload(process.execArgv, [__filename, join(__dirname, '../../preload.cjs')]);
  const socketPath = isMainThread ? takeSocketPath(process.env) : null;
  if (socketPath !== null) {
    // Loaded only where they are needed.
    const { keepLastWords } = require('./lastWords.js') as typeof LastWords;
    keepLastWords(process.env);
    const { startHost } = require('./host.js') as typeof Host;
    startHost(socketPath);
  }
} catch {
  // An instance without an agent is served as well as before there were agents.
}
