/** A WebSocket server and its client. */
'use strict';

const { WebSocket, WebSocketServer } = require('ws');
const { portrait, ready } = require('./portrait.cjs');

async function main() {
  await ready();
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  server.on('connection', (socket) => socket.on('message', (data) => socket.send(`echo ${data}`)));
  await new Promise((resolve) => server.once('listening', resolve));
  const client = new WebSocket(`ws://127.0.0.1:${server.address().port}/`);
  await new Promise((resolve) => client.once('open', resolve));
  const heard = [];
  for (const word of ['one', 'two']) {
    client.send(word);
    heard.push(String(await new Promise((resolve) => client.once('message', resolve))));
  }
  client.close(1000);
  const code = await new Promise((resolve) => client.once('close', resolve));
  await new Promise((resolve) => server.close(resolve));
  console.log(JSON.stringify({ own: portrait(), heard, code }));
}

main();
