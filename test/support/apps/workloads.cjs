/**
 * A server with a way to be busy, or not, for each reason that instances of a service can be too few or unfit for:
 *
 *   /pool?ms=    work in the thread pool: the event loop idles, the process burns
 *   /wait?ms=    a synchronous wait: the event loop is held, the process sleeps
 *   /spin?ms=    a busy loop: both
 *   /lost        a promise that nobody will ever settle: neither
 *   /database?ms= an answer from elsewhere, which takes its time: neither, and all is well
 *   /health      answers at once
 */
const { pbkdf2 } = require('node:crypto');
const http = require('node:http');

const cell = new Int32Array(new SharedArrayBuffer(4));
/** Rounds of key derivation that take about a millisecond of one core; measured before it listens. */
let roundsPerMs = 1_000;

function spin(ms) {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

const ways = {
  '/health': (answer) => answer(),
  '/pool': (answer, ms) => pbkdf2('word', 'salt', Math.ceil(roundsPerMs * ms), 32, 'sha256', answer),
  '/wait': (answer, ms) => {
    Atomics.wait(cell, 0, 0, ms);
    answer();
  },
  '/spin': (answer, ms) => {
    spin(ms);
    answer();
  },
  '/chunks': async (answer, ms) => {
    for (let i = 0; i < ms / 5; i++) {
      spin(5);
      await new Promise(setImmediate);
    }
    answer();
  },
  '/database': (answer, ms) => setTimeout(answer, ms),
  '/lost': (answer) => void new Promise(() => undefined).then(answer),
};

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://127.0.0.1');
  const way = ways[url.pathname];
  if (way === undefined) response.writeHead(404).end();
  else way(() => response.end('well'), Number(url.searchParams.get('ms') ?? 0));
});

const startedMs = performance.now();
pbkdf2('word', 'salt', 20_000, 32, 'sha256', () => {
  roundsPerMs = 20_000 / Math.max(1, performance.now() - startedMs);
  server.listen(Number(process.env.PORT), '127.0.0.1');
});
process.on('SIGINT', () => process.exit(0));
