/**
 * A service whose memory does what it is told, with JavaScript objects, so that V8 has to collect them. Only ever listen
 * on loopback.
 *
 *   GET  /                            answers after 50 ms
 *   POST /leak?mbPerSecond=…          holds on to that much more every second, for good
 *   POST /teeth?mb=…&seconds=…        holds on to ever more for so long, lets go of it, and begins again
 */
const http = require('node:http');

const STEP_MS = 100;
/** About a kilobyte. */
const piece = () => Array.from({ length: 120 }, (_, index) => index + 0.5);
const pieces = (megabytes) => Array.from({ length: Math.round(megabytes * 1024) }, piece);

const leaked = [];
let tooth = [];

const actions = {
  '/leak': ({ mbPerSecond }) => {
    setInterval(() => leaked.push(pieces((mbPerSecond * STEP_MS) / 1000)), STEP_MS);
  },
  '/teeth': ({ mb, seconds }) => {
    const steps = Math.round((seconds * 1000) / STEP_MS);
    setInterval(() => {
      if (tooth.length >= steps) tooth = [];
      tooth.push(pieces(mb / steps));
    }, STEP_MS);
  },
};

const server = http.createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  if (request.method !== 'POST') return void setTimeout(() => response.end('here\n'), 50);
  const numbers = [...searchParams].map(([name, value]) => [name, Number(value)]);
  actions[pathname](Object.fromEntries(numbers));
  response.end('as you wish\n');
});
server.listen(Number(process.env.PORT), '127.0.0.1');

process.on('SIGINT', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
