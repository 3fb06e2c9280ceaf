/**
 * The primary of two workers that share a port, as PM2's daemon is for an application in cluster mode. SCRIPT is what
 * they run, EXEC_ARGV a JSON list of Node's options for them. Prints a line of JSON: `{"port":…,"workers":[pids]}`.
 */
const cluster = require('node:cluster');
const fs = require('node:fs');

cluster.setupPrimary({ exec: process.env.SCRIPT, execArgv: JSON.parse(process.env.EXEC_ARGV), silent: true });
const workers = [cluster.fork(), cluster.fork()];
let listening = 0;
cluster.on('listening', (_, { port }) => {
  listening += 1;
  if (listening < workers.length) return;
  fs.writeSync(1, `${JSON.stringify({ port, workers: workers.map((worker) => worker.process.pid) })}\n`);
});
// A primary that leaves takes its workers along.
process.on('SIGTERM', () => process.exit());
