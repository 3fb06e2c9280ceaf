import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import express from 'express';
import type { AddressInfo } from 'node:net';
import { PLAIN_PAGE_POLICY } from './plainPage.js';
import { renderStatusPage } from './statusPage.js';
import { statusRoutes, type DependencyCheck } from './statusRoutes.js';

const NOON = new Date('2026-05-04T12:03:04Z');

it.each([
  ['healthy', 'Wordpecker backend is working<'],
  ['degraded', 'Wordpecker backend is working, with limitations<'],
  ['unhealthy', 'Wordpecker backend is not available right now<'],
  ['draining', 'Wordpecker backend is being updated<'],
] as const)('says %s in plain words, and when', (state, words) => {
  const page = renderStatusPage('wordpecker-backend', state, NOON);
  expect(page).toContain(words);
  expect(page).toContain('12:03 UTC');
  expect(page).toContain('<meta http-equiv="refresh" content="5">');
});

it('allows exactly its own style', () => {
  const style = /<style>([^]*)<\/style>/.exec(renderStatusPage('x', 'healthy', NOON))?.[1] ?? '';
  const hash = createHash('sha256').update(style).digest('base64');
  expect(PLAIN_PAGE_POLICY).toContain(`style-src 'sha256-${hash}'`);
});

it.each([
  [200, 'is working<', { name: 'database', required: true, status: 'up' }],
  [200, 'with limitations', { name: 'redis-primary', required: false, status: 'down' }],
  [503, 'not available', { name: 'mysql-eu-1', required: true, status: 'down' }],
] as const)('answers %i: %s', async (status, words, { name, required, status: state }) => {
  const check: DependencyCheck = {
    name,
    required,
    check: async () => ({ status: state, detail: 'connect ECONNREFUSED 10.0.0.7:3306' }),
  };
  const server = express()
    .use(
      statusRoutes({
        service: 'wordpecker-backend',
        version: '9.8.7',
        instance: 3,
        checks: [check],
        health: { mode: 'truth' },
        server: { draining: false, requestsInFlight: 0 },
      }),
    )
    .listen(0, '127.0.0.1');
  try {
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    const answer = await fetch(`http://127.0.0.1:${port}/status.html`);
    const page = await answer.text();
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([status, 'public, max-age=2']);
    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(page).toContain(words);
    for (const inside of [name, 'ECONNREFUSED', '10.0.0.7', '9.8.7', String(port)]) {
      expect(page).not.toContain(inside);
    }
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
