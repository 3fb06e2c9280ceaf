/** A plain server that asks itself, ends by itself and leaves with a code of its own. */
'use strict';

const { createServer, request } = require('node:http');
const { portrait, ready } = require('./portrait.cjs');

async function main() {
  const first = portrait();
  await ready();
  const seen = [];
  const server = createServer((incoming, answer) => {
    const names = (emitter) =>
      emitter.eventNames().map((name) => `${String(name)} ${emitter.listenerCount(name)}`);
    seen.push({
      server: names(server),
      socket: names(incoming.socket),
      incoming: names(incoming),
      answer: names(answer),
      keys: [Object.keys(incoming), Object.keys(answer), Object.getOwnPropertySymbols(answer).length],
    });
    answer.end(`hello ${incoming.url}`);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  const answers = [];
  for (const path of ['/a', '/b?c=d']) answers.push(await get(port, path));
  await new Promise((resolve) => server.close(resolve));
  process.exitCode = 3;
  process.on('exit', (code) => console.log(`exit ${code}`));
  process.once('beforeExit', () => console.log('beforeExit'));
  console.log(JSON.stringify({ first, seen, answers, last: portrait() }));
}

function get(port, path) {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, path, agent: false }, (answer) => {
      let body = '';
      answer.setEncoding('utf8');
      answer.on('data', (text) => (body += text));
      answer.on('end', () => resolve({ status: answer.statusCode, body }));
    });
    call.on('error', reject);
    call.end();
  });
}

main();
