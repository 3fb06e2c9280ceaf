/** express as people use it: middleware, a body, a router, an error. */
'use strict';

const express = require('express');
const { portrait, ready } = require('./portrait.cjs');

async function main() {
  await ready();
  const app = express();
  app.use(express.json());
  app.get('/hello/:name', (incoming, answer) => answer.json({ hello: incoming.params.name }));
  app.post('/echo', (incoming, answer) => answer.status(201).send(incoming.body));
  app.get('/fails', () => {
    throw Object.assign(new Error('on purpose'), { status: 418 });
  });
  app.use((error, _, answer, __) => answer.status(error.status).send(error.message));
  const server = app.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const base = `http://127.0.0.1:${server.address().port}`;
  const headers = { connection: 'close', 'content-type': 'application/json' };
  const calls = [
    ['/hello/you', {}],
    ['/echo', { method: 'POST', body: '{"a":1}' }],
    ['/fails', {}],
    ['/nowhere', {}],
  ];
  const answers = [];
  for (const [path, init] of calls) {
    const answer = await fetch(base + path, { headers, ...init });
    answers.push([answer.status, await answer.text()]);
  }
  await new Promise((resolve) => server.close(resolve));
  console.log(JSON.stringify({ own: portrait(), answers }));
}

main();
