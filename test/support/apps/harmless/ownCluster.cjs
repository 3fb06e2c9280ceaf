/** A cluster of its own: a primary and two workers that share a port. */
'use strict';

const cluster = require('node:cluster');
const { createServer } = require('node:http');
const { childPortrait, portrait, ready } = require('./portrait.cjs');

async function primary() {
  await ready();
  const workers = [cluster.fork(), cluster.fork()];
  const portraits = await Promise.all(
    workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))),
  );
  const { port } = portraits[0];
  const answers = [];
  for (let asked = 0; asked < 4; asked += 1) {
    const answer = await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } });
    answers.push(await answer.text());
  }
  const ends = Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve))));
  cluster.disconnect();
  const own = portrait();
  for (const key of ['resources', 'handles']) delete own[key]; // sockets of fetch that are closing
  console.log(
    JSON.stringify({
      own,
      workers: portraits.map(({ told }) => told),
      answers,
      ends: await ends,
      arguments: cluster.settings.execArgv,
    }),
  );
}

function worker() {
  const server = createServer((_, answer) => answer.end('shared')).listen(0, '127.0.0.1', () => {
    const told = childPortrait();
    delete told.resources;
    process.send({ told, port: server.address().port });
  });
}

if (cluster.isPrimary) primary();
else worker();
