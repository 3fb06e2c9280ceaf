/**
 * The smallest service worth supervising. `GET /` tells who answers and with which environment, so only ever
 * listen on loopback. Ends gracefully on SIGINT unless IGNORE_SIGINT is set; EXIT_AT_START=<code> ends it at once.
 */
const http = require('node:http');

if (process.env.EXIT_AT_START !== undefined) process.exit(Number(process.env.EXIT_AT_START));

const server = http.createServer((request, response) => {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ pid: process.pid, env: process.env, args: process.argv.slice(2) }));
});
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1');

process.on('SIGINT', () => {
  if (process.env.IGNORE_SIGINT !== undefined) return;
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
