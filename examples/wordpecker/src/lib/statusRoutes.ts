/** The routes that every service here has: health in three depths, status, client IP. */
import express from 'express';
import type { Router } from 'express';
import type { HealthSwitch } from '../faults/healthSwitch.js';
import { clientIp } from './clientIp.js';
import { PLAIN_PAGE_POLICY } from './plainPage.js';
import { renderStatusPage, type ServiceState } from './statusPage.js';

export interface CheckResult {
  readonly status: 'up' | 'down';
  /** Why it is down, or what to know about it. */
  readonly detail?: string;
}

/** Something that the service needs. */
export interface DependencyCheck {
  readonly name: string;
  /** Without a required dependency the service is unhealthy (503), without another it is degraded (200). */
  readonly required: boolean;
  /** Never rejects; ends within about two seconds. */
  check(): Promise<CheckResult>;
}

export interface StatusRoutesOptions {
  readonly service: string;
  readonly version: string;
  readonly instance: number | null;
  readonly checks: readonly DependencyCheck[];
  /** Where it tells its status beside /api/status, which a gateway may route to another service. */
  readonly statusPaths?: readonly string[] | undefined;
  readonly health: HealthSwitch;
  readonly server: { readonly draining: boolean; readonly requestsInFlight: number };
}

/**
 * - `GET /healthz`: the process is up.
 * - `GET /health`: this instance wants traffic: its event loop answers and it is not on its way out. Asks no
 *   dependency: a database outage must not get every instance restarted.
 * - `GET /api/health`: the same with every dependency asked.
 * - `GET /status.html`: the same in plain words, for everybody.
 */
export function statusRoutes(options: StatusRoutesOptions): Router {
  const { service, version, instance, health, server } = options;
  const router = express.Router();
  router.use((_request, response, next) => {
    response.setHeader('Cache-Control', 'no-store');
    next();
  });

  router.get('/healthz', (_request, response) => {
    response.json({ status: 'ok', service });
  });

  router.get('/health', (_request, response) => {
    if (health.mode === 'hang') return;
    if (health.mode === 'wrong-body') response.type('text/plain').send('It works!\n');
    else if (typeof health.mode === 'number') response.status(health.mode).json({ status: 'fault', service });
    else if (server.draining) response.status(503).json({ status: 'draining', service });
    else response.json({ status: 'ok', service });
  });

  router.get('/api/health', async (_request, response) => {
    const { status, results } = await judge(options);
    response.status(status === 'healthy' || status === 'degraded' ? 200 : 503);
    response.json({ success: response.statusCode === 200, status, service, checks: results });
  });

  router.get('/status.html', async (_request, response) => {
    const { status } = await judge(options);
    response.status(status === 'unhealthy' ? 503 : 200).type('html');
    response.setHeader('Cache-Control', 'public, max-age=2');
    response.setHeader('Content-Security-Policy', PLAIN_PAGE_POLICY);
    response.send(renderStatusPage(service, status, new Date()));
  });

  router.get(['/api/status', ...(options.statusPaths ?? [])], (_request, response) => {
    const uptimeSeconds = Math.round(process.uptime());
    response.json({
      success: true,
      name: service,
      version,
      pid: process.pid,
      instance,
      uptimeSeconds,
      requestsInFlight: server.requestsInFlight,
    });
  });

  router.get('/api/client-ip', (request, response) => {
    response.json({ success: true, ip: clientIp(request) });
  });

  return router;
}

/** How the service fares as a whole, and how everything it needs does. */
async function judge({ checks, server }: StatusRoutesOptions): Promise<{
  status: ServiceState;
  results: readonly (CheckResult & { name: string; required: boolean })[];
}> {
  const results = await Promise.all(
    checks.map(async ({ name, required, check }) => ({ name, required, ...(await check()) })),
  );
  const down = results.filter((result) => result.status === 'down');
  if (server.draining) return { status: 'draining', results };
  if (down.some((result) => result.required)) return { status: 'unhealthy', results };
  return { status: down.length > 0 ? 'degraded' : 'healthy', results };
}
