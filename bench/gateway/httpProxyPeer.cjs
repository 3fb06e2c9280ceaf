/**
 * The package http-proxy as its documentation sets it up for production: an agent that keeps connections to upstreams,
 * forwarded fields, WebSockets, round robin. Arguments: port, and upstreams as host:port separated by commas.
 */
'use strict';

const http = require('node:http');
const { createProxyServer } = require('http-proxy');

const [port, list] = process.argv.slice(2);
const targets = list.split(',').map((address) => `http://${address}`);
const proxy = createProxyServer({ agent: new http.Agent({ keepAlive: true }), xfwd: true });
let turn = 0;
const next = () => targets[turn++ % targets.length];

proxy.on('error', (_error, _request, response) => {
  if (typeof response?.writeHead === 'function' && !response.headersSent) response.writeHead(502);
  response?.end();
});

const server = http.createServer((request, response) => proxy.web(request, response, { target: next() }));
server.on('upgrade', (request, socket, head) => proxy.ws(request, socket, head, { target: next() }));
server.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 });
