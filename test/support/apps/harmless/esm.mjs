/** An ES module with top-level await, and a CommonJS module inside. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import harmless from './portrait.cjs';

const first = harmless.portrait();
await harmless.ready();
const server = createServer((_, answer) => answer.end('from a module'));
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const answer = await fetch(`http://127.0.0.1:${server.address().port}/`, {
  headers: { connection: 'close' },
});
const body = await answer.text();
await new Promise((resolve) => server.close(resolve));
console.log(JSON.stringify({ first, body, main: import.meta.url.endsWith('esm.mjs') }));
