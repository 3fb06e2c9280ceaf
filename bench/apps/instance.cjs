/**
 * The smallest service: what is measured around it is the cost of keeping it, not the service. `GET /work` answers
 * after 50 ms, so that requests are in flight when an instance is told to stop; anything else answers at once. On
 * SIGINT it finishes what is in flight and leaves, as a well-behaved service does.
 */
'use strict';

const http = require('node:http');

const WORK_MS = 50;

const server = http.createServer((request, response) => {
  if (request.url === '/work') setTimeout(() => response.end('done\n'), WORK_MS);
  else response.end('ok\n');
});
server.listen(Number(process.env.PORT), '127.0.0.1');

process.on('SIGINT', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
