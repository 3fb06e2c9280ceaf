/**
 * What another user of the machine may try at once, for test/integration/pm2/attack.test.ts. It is given to
 * `node -e`, because that user can't read the repository. STRANGER: { apiPort, firstPort, lastPort, connections, streams }.
 * It prints a line of JSON for every port that it has bound and for every request that came there.
 */
'use strict';
const fs = require('node:fs');
const net = require('node:net');

const { apiPort, firstPort, lastPort, connections, streams } = JSON.parse(process.env.STRANGER);
const HOLD_MS = 2_000;
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** A connection that asks again and again, and comes back when it is closed. */
function keepAsking(text, everyMs) {
  const socket = net.connect(apiPort, '127.0.0.1');
  const timer = setInterval(() => socket.write(text()), everyMs);
  socket.on('connect', () => socket.write(text()));
  socket.on('error', () => undefined).on('data', () => undefined);
  socket.on('close', () => {
    clearInterval(timer);
    setTimeout(() => keepAsking(text, everyMs), 500);
  });
}

const get = (path, fields = '') => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n`;
for (let i = 0; i < connections; i += 1) keepAsking(() => get('/healthz'), 3_000);
for (let i = 0; i < streams; i += 1) keepAsking(() => get('/api/ha/stream'), 3_000);
setInterval(() => {
  const guess = net.connect(apiPort, '127.0.0.1');
  guess.on('error', () => undefined).on('data', () => undefined);
  guess.write(get('/api/ha/status', `Authorization: Bearer wrong-${Math.random()}\r\n`));
  setTimeout(() => guess.destroy(), 2_000);
}, 100);

/** Ports of instances, as the kernel lists them. */
function listening() {
  const found = new Set();
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6'])
    for (const line of fs.readFileSync(file, 'latin1').split('\n')) {
      const [, local = '', , state] = line.trim().split(/\s+/);
      const port = Number.parseInt(local.split(':')[1], 16);
      if (state === '0A' && port >= firstPort && port <= lastPort) found.add(port);
    }
  return found;
}

const seen = new Set();
const held = new Set();
setInterval(() => {
  const now = listening();
  for (const port of now) seen.add(port);
  for (const port of seen) if (!now.has(port) && !held.has(port)) take(port);
}, 20);

/** Binds a port that an instance has given up, answers whatever comes, and lets go of it after a while. */
function take(port) {
  held.add(port);
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      say({ port, request: chunk.toString('latin1').slice(0, 300) });
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen');
    });
  });
  server.on('error', () => held.delete(port));
  server.listen(port, '127.0.0.1', () => {
    say({ port, bound: true });
    setTimeout(
      () =>
        server.close(() => {
          held.delete(port);
          seen.delete(port);
        }),
      HOLD_MS,
    );
  });
}
say({ ready: true });
