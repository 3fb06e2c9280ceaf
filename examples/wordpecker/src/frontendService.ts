/** The sample frontend: static pages, and /api passed on to the backend. See README.md beside. */
import express from 'express';
import http from 'node:http';
import { fileURLToPath } from 'node:url';
import { createForwarder } from './frontend/forward.js';
import { messageOf } from './lib/errors.js';
import type { ServiceDefinition } from './lib/service.js';
import type { CheckResult } from './lib/statusRoutes.js';

const PUBLIC = fileURLToPath(new URL('../public', import.meta.url));
const CHECK_TIMEOUT_MS = 1500;

export const frontend: ServiceDefinition = {
  name: 'wordpecker-frontend',
  defaultPort: 13_100,
  create(reader) {
    const target = new URL(reader.url('BACKEND_URL', ['http:']) ?? 'http://127.0.0.1:13004');
    const forwarder = createForwarder({ target });
    return {
      checks: [{ name: 'backend', required: false, check: () => askBackend(target) }],
      // Behind a gateway /api/status is the backend's.
      statusPaths: ['/app/status'],
      addRoutes(app) {
        app.use('/api', forwarder.handle);
        app.use((_request, response, next) => {
          response.setHeader('Content-Security-Policy', "default-src 'self'; frame-ancestors 'none'");
          response.setHeader('Referrer-Policy', 'same-origin');
          next();
        });
        app.get('/', (_request, response) => response.redirect('/app'));
        app.get('/app', (_request, response) => response.sendFile('app.html', { root: PUBLIC }));
        app.get('/ui', (_request, response) => response.sendFile('ui.html', { root: PUBLIC }));
        // Short-lived, as names carry no version: after a deploy nobody sees old code for longer than this.
        app.use(
          '/assets',
          express.static(`${PUBLIC}/assets`, { maxAge: '1m', index: false, redirect: false }),
        );
      },
      close: async () => forwarder.close(),
    };
  },
};

/** The pages are served without it, so a backend that is down degrades this service and no more. */
function askBackend(target: URL): Promise<CheckResult> {
  return new Promise((resolve) => {
    const request = http.get(
      new URL('/health', target),
      { agent: false, timeout: CHECK_TIMEOUT_MS },
      (answer) => {
        answer.resume();
        const { statusCode } = answer;
        resolve(
          statusCode === 200 ? { status: 'up' } : { status: 'down', detail: `it answers ${statusCode}` },
        );
      },
    );
    request.on('timeout', () => request.destroy(new Error(`no answer within ${CHECK_TIMEOUT_MS} ms`)));
    request.on('error', (error) => resolve({ status: 'down', detail: messageOf(error) }));
  });
}
