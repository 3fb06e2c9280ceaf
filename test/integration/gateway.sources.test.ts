/** A gateway as `npm run balancer` runs it: where its upstreams come from, and what it keeps over a restart. */
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { GatewayHome } from '../support/gatewayProcess.js';

let servers: Server[] = [];
let homes: GatewayHome[] = [];

/** An application that answers everything with its port. */
async function application(): Promise<number> {
  const server = createServer((request, response) => {
    request.resume();
    response.end(String((server.address() as AddressInfo).port));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.push(server);
  return (server.address() as AddressInfo).port;
}

async function home(settings: Readonly<Record<string, string>>): Promise<GatewayHome> {
  const created = await GatewayHome.create(settings);
  homes.push(created);
  return created;
}

afterEach(async () => {
  for (const one of homes) await one.dispose();
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  [homes, servers] = [[], []];
});

it('signs LB_STICKY_COOKIE with a key of its own that outlives it, and refuses a damaged one', async () => {
  const ports = [await application(), await application()];
  const BACKEND_HOSTS = ports.map((port) => `127.0.0.1:${port}`).join(',');
  const gateway = await home({ BACKEND_HOSTS, LB_STICKY_COOKIE: 'JSESSIONID', LB_ALGORITHM: 'round-robin' });
  const first = await gateway.start();
  const answer = await fetch(gateway.url());
  const own = await answer.text();
  const cookie = /^JSESSIONID=[^;]+/.exec(answer.headers.get('set-cookie') ?? '')?.[0] ?? '';
  expect(cookie).not.toBe('');
  const key = join(gateway.folder, 'data/session-secret');
  expect(statSync(key).mode & 0o777).toBe(0o600);

  await first.kill();
  const second = await gateway.start();
  for (let i = 0; i < 6; i += 1) {
    const again = await fetch(gateway.url(), { headers: { cookie } });
    expect([await again.text(), again.headers.get('set-cookie')]).toEqual([own, null]);
  }

  await second.kill();
  gateway.write('data/session-secret', readFileSync(key, 'utf8').slice(0, 10));
  const { code, stderr } = await gateway.launch().ended();
  expect(code).toBe(78);
  expect(stderr).toMatch(/session-secret holds no usable secret: 10 characters.*Remove it/);
});
