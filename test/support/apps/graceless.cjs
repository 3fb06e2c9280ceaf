/**
 * A service that knows nothing of stopping: no signal handler anywhere, unless HANDLER asks for one. Prints a line of
 * JSON for what happens to it; the first is `{"listening":[ports]}`, and requests are told unless QUIET is set. SERVERS names what it serves, in this order:
 *
 *   http, https          GET /slow?ms=, /large?bytes=, /early?ms= (head at once, the rest later), /events (never ends),
 *                        POST /upload (answers with the number of bytes), WebSocket (echo)
 *   http2, http2s        the same without WebSocket, over HTTP/2
 *   net                  a line protocol of its own: `wait <ms>` is answered with `done`
 *
 * HANDLER: on, once, prependOnce: a handler for SIGINT that takes 300 ms and ends with code 7. late: `on`, but added
 * 200 ms after the start. again: removes itself, cleans up for 100 ms, and sends the process the signal again. alone: does
 * the same at once, but only when nobody else listens, as the package signal-exit does. term: like `on`, for SIGTERM alone.
 */
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const http2 = require('node:http2');
const net = require('node:net');
const { WebSocketServer } = require('ws');

const tell = (what) => fs.writeSync(1, `${JSON.stringify(what)}\n`);
const after = (ms, run) => setTimeout(run, ms);

function answer(request, response) {
  const url = new URL(request.url, 'http://x');
  const ms = Number(url.searchParams.get('ms') ?? 0);
  if (url.pathname !== '/' && process.env.QUIET === undefined) tell({ request: url.pathname });
  if (url.pathname === '/slow') after(ms, () => response.end('slow'));
  else if (url.pathname === '/large') response.end(Buffer.alloc(Number(url.searchParams.get('bytes')), 'x'));
  else if (url.pathname === '/early') {
    response.write('early');
    after(ms, () => response.end(' and late'));
  } else if (url.pathname === '/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    setInterval(() => response.write('data: tick\n\n'), 50);
  } else if (url.pathname === '/upload') {
    let bytes = 0;
    request.on('data', (chunk) => (bytes += chunk.length));
    request.on('end', () => response.end(String(bytes)));
  } else response.end('hello');
}

function lines(socket) {
  socket.on('error', () => {});
  socket.on('data', (data) => {
    const ms = Number(/^wait (\d+)/.exec(data)?.[1]);
    tell({ request: 'wait' });
    after(ms, () => socket.write('done\n'));
  });
}

const tls = () => ({
  key: fs.readFileSync(process.env.TLS_KEY),
  cert: fs.readFileSync(process.env.TLS_CERT),
});
const kinds = {
  http: () => http.createServer(answer),
  https: () => https.createServer(tls(), answer),
  http2: () => http2.createServer(answer),
  http2s: () => http2.createSecureServer(tls(), answer),
  net: () => net.createServer(lines),
};

const names = (process.env.SERVERS ?? 'http').split(',');
const servers = names.map((name) => kinds[name]());
servers.forEach((server, at) => {
  if (!names[at].startsWith('http2') && names[at] !== 'net') {
    new WebSocketServer({ server }).on('connection', (socket) => {
      socket.on('message', (data) => socket.send(data));
      socket.on('close', (code) => tell({ webSocketClosed: code }));
    });
  }
  server.listen(at === 0 ? Number(process.env.PORT ?? 0) : 0, '127.0.0.1', () => {
    if (servers.every((each) => each.listening))
      tell({ listening: servers.map((each) => each.address().port) });
  });
});

function ownStop() {
  tell({ handler: process.env.HANDLER, listeners: process.listenerCount('SIGINT') });
  after(300, () => process.exit(7));
}
const handlers = {
  term: () => process.on('SIGTERM', ownStop),
  on: () => process.on('SIGINT', ownStop),
  once: () => process.once('SIGINT', ownStop),
  prependOnce: () => process.prependOnceListener('SIGINT', ownStop),
  late: () =>
    after(200, () => {
      process.on('SIGINT', ownStop);
      tell({ request: 'late' });
    }),
  again: () => {
    process.once('SIGINT', () => {
      tell({ handler: 'again' });
      after(100, () => process.kill(process.pid, 'SIGINT'));
    });
  },
  alone: () => {
    const listener = () => {
      if (process.listeners('SIGINT').length > 1) return;
      process.removeListener('SIGINT', listener);
      tell({ handler: 'alone' });
      process.kill(process.pid, 'SIGINT');
    };
    process.on('SIGINT', listener);
  },
};
handlers[process.env.HANDLER]?.();
process.on('exit', (code) => tell({ exit: code }));
