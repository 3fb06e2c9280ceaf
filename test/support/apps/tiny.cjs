/**
 * The smallest service worth supervising. `GET /` tells who answers and with which environment, so only ever
 * listen on loopback. Ends gracefully on SIGINT unless IGNORE_SIGINT is set; with SPAWN it starts a detached
 * process of its own, as a service that calls a converter would. Writes a line per answer.
 */
const http = require('node:http');
const { spawn } = require('node:child_process');

const child =
  process.env.SPAWN === undefined ? null : spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });

// Like console.log, and unlike a bare write: an application outlives the daemon that read its output.
process.stdout.on('error', () => {});
let answered = 0;

const server = http.createServer((request, response) => {
  const answer = { pid: process.pid, env: process.env, args: process.argv.slice(2), child: child?.pid };
  answered += 1;
  process.stdout.write(`answered ${answered}\n`);
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(answer));
});
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1');

process.on('SIGINT', () => {
  if (process.env.IGNORE_SIGINT !== undefined) return;
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
