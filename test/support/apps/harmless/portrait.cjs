/** Everything of its process that an application may look at, and that an agent must not have changed. */
'use strict';

const { existsSync, readdirSync } = require('node:fs');
const { createRequire } = require('node:module');
const { isMainThread } = require('node:worker_threads');

/** Resolves when the test says so: an agent is there by then, where there is to be one. */
async function ready() {
  while (!existsSync(process.env.READY_FILE)) await new Promise((resolve) => setTimeout(resolve, 5));
}

function portrait() {
  const events = [
    'SIGINT SIGTERM SIGHUP SIGUSR2 exit beforeExit uncaughtException uncaughtExceptionMonitor',
    'unhandledRejection rejectionHandled warning message disconnect worker newListener',
  ].flatMap((line) => line.split(' '));
  return {
    execArgv: process.execArgv,
    argv: process.argv.slice(2),
    env: Object.fromEntries(Object.entries(process.env).sort()),
    listeners: Object.fromEntries(events.map((event) => [event, process.listenerCount(event)])),
    globals: Object.getOwnPropertyNames(globalThis).sort(),
    globalSymbols: Object.getOwnPropertySymbols(globalThis).map(String),
    processKeys: Object.keys(process).sort(),
    resources: process.getActiveResourcesInfo().sort(),
    handles: process._getActiveHandles().length,
    stackTraceLimit: Error.stackTraceLimit,
    prepareStackTrace: typeof Error.prepareStackTrace,
    noDeprecation: process.noDeprecation,
    exitCode: process.exitCode,
    title: process.title,
    loaded: Object.keys(createRequire(__filename).cache).filter((file) => /[\\/]agent[\\/]/.test(file))
      .length,
  };
}

/** In children: no agent, so as many threads as a process without one has. */
function childPortrait() {
  const { env, loaded, ...rest } = portrait();
  const names = Object.keys(env).filter((name) => /HOLDFAST|NODE_OPTIONS|pm2/i.test(name));
  return { ...rest, names, loaded, threads: isMainThread ? readdirSync('/proc/self/task').length : null };
}

module.exports = { childPortrait, portrait, ready };
