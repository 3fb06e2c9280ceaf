/**
 * A service that fails on request, each time in another way; each answer comes before the failure.
 *   POST /spin          blocks its main thread for ever, in `spinHere`
 *   POST /exit?code=    says why on stderr, and exits
 *   POST /hoard?mb=     fills its JavaScript heap: quickly to so many MB, then by some MB a second until V8 gives up
 *   POST /burst?mb=     the same, but what follows after a second comes in one go
 *   POST /sick          /health answers 503 from now on
 */
const http = require('node:http');

let sick = false;
/** A list without an array that would have to grow: it fills the heap to the last byte. */
let hoard = null;

function spinHere() {
  for (;;) Math.random();
}

function keep(objects) {
  for (let number = 0; number < objects; number += 1) {
    hoard = { number, text: `hoarded ${number}`, more: hoard };
  }
}

/** With the loop alive in between. */
function hoardTo(bytes, then) {
  if (process.memoryUsage().heapUsed >= bytes) {
    then();
    return;
  }
  keep(20_000);
  setTimeout(hoardTo, 20, bytes, then);
}

function hoardSlowly() {
  keep(700);
  setTimeout(hoardSlowly, 20);
}

function hoardAtOnce() {
  for (;;) keep(1_000);
}

const bytesOf = (url) => Number(url.searchParams.get('mb')) * 1024 * 1024;

const faults = {
  '/spin': () => spinHere(),
  '/exit': (url) => {
    console.error(new Error('password=hunter2 was refused'));
    process.exit(Number(url.searchParams.get('code') ?? 1));
  },
  '/hoard': (url) => hoardTo(bytesOf(url), hoardSlowly),
  '/burst': (url) => hoardTo(bytesOf(url), () => setTimeout(hoardAtOnce, 1_000)),
  '/sick': () => {
    sick = true;
  },
};

const server = http.createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://127.0.0.1');
  const fault = request.method === 'POST' ? faults[url.pathname] : undefined;
  response.statusCode = sick && url.pathname === '/health' ? 503 : 200;
  response.end('ok', () => {
    if (fault !== undefined) setTimeout(fault, 20, url);
  });
});
server.listen(Number(process.env.PORT), '127.0.0.1');

process.on('SIGINT', () => {
  server.close(() => process.exit(0));
  server.closeAllConnections();
});
