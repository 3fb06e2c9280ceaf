/** fastify as people use it: a schema, hooks, a refused body. */
'use strict';

const fastify = require('fastify');
const { portrait, ready } = require('./portrait.cjs');

async function main() {
  await ready();
  const app = fastify({ forceCloseConnections: true });
  const hooks = [];
  app.addHook('onRequest', async (incoming) => void hooks.push(incoming.url));
  app.addHook('onResponse', async (_, answer) => void hooks.push(answer.statusCode));
  app.post(
    '/sum',
    { schema: { body: { type: 'object', required: ['a', 'b'], properties: { a: { type: 'number' } } } } },
    async ({ body }) => ({ sum: body.a + body.b }),
  );
  const base = await app.listen({ port: 0, host: '127.0.0.1' });
  const answers = [];
  for (const body of ['{"a":1,"b":2}', '{"a":1}']) {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${base}/sum`, { method: 'POST', headers, body });
    answers.push([answer.status, await answer.text()]);
  }
  await app.close();
  console.log(JSON.stringify({ own: portrait(), answers, hooks }));
}

main();
