/** Accepts WebSockets and lets them be; answers anything else with 200. Argument: the port. */
'use strict';

const { createHash } = require('node:crypto');
const { createServer } = require('node:http');

const server = createServer((_request, response) => response.end('ok\n'));
server.on('upgrade', (request, socket) => {
  // RFC 6455 section 4.2.2.
  const accept = createHash('sha1')
    .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64');
  socket.on('error', () => socket.destroy());
  socket.resume();
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
});
server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });
