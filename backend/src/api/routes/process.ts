/** Short answers for other machines: balancers, orchestrators, Prometheus, uptime checks. */
import { HoldfastError } from '../../domain/errors.js';
import type { ControlPlane, StatusView } from '../../domain/views/controlPlane.js';
import type { Exposition } from '../metrics/exposition.js';
import { overallState } from '../overallHealth.js';
import { ok, route } from '../route.js';
import type { Route } from '../route.js';
import { alive, overallHealth, ready, summary } from '../schemas/status.js';
import type { Readiness } from '../settings.js';

export function processRoutes(
  controlPlane: ControlPlane,
  readiness: () => Readiness,
  exposition: Exposition,
): Route[] {
  return [
    route({
      method: 'get',
      path: '/healthz',
      tag: 'process',
      access: 'public',
      summary: 'The supervisor is up',
      answers: { 200: { description: 'It answers.', data: alive } },
      handle: () => ok({ alive: true }),
    }),
    readyRoute(readiness),
    overallHealthRoute(controlPlane),
    route({
      method: 'get',
      path: '/api/status',
      tag: 'process',
      summary: 'In one line: version, and how many serve',
      answers: { 200: { description: 'Now.', data: summary } },
      handle: () => ok(summaryOf(controlPlane.status())),
    }),
    route({
      method: 'get',
      path: '/metrics',
      tag: 'process',
      summary: 'Figures for Prometheus',
      answers: { 200: { description: 'Text exposition format.', contentTypes: [exposition.contentType] } },
      handle: async () => ({
        kind: 'text',
        contentType: exposition.contentType,
        text: await exposition.render(),
      }),
    }),
  ];
}

function readyRoute(readiness: () => Readiness): Route {
  return route({
    method: 'get',
    path: '/readyz',
    tag: 'process',
    access: 'public',
    summary: 'The supervisor can do its work',
    answers: { 200: { description: 'It can.', data: ready } },
    refusals: { 503: '`supervisor.not-ready`: the message says what is missing.' },
    handle: () => {
      const { ready: isReady, reason } = readiness();
      if (isReady) return ok({ ready: true, reason });
      throw new HoldfastError('supervisor.not-ready', reason, { status: 503, retryable: true });
    },
  });
}

function overallHealthRoute(controlPlane: ControlPlane): Route {
  return route({
    method: 'get',
    path: '/api/health',
    tag: 'process',
    summary: 'The service as a whole, from what is known',
    description:
      'Probes nothing; GET /api/ha/health does. A service that an operator stopped is as it should be: healthy.',
    answers: {
      200: { description: 'Healthy or degraded.', data: overallHealth },
      503: { description: 'Unhealthy: a service that should serve does not.', data: overallHealth },
    },
    handle: () => {
      const data = overallHealthOf(controlPlane.status());
      return { kind: 'data', status: data.status === 'unhealthy' ? 503 : 200, data };
    },
  });
}

function overallHealthOf(status: StatusView) {
  return {
    status: overallState(status),
    running: status.running,
    version: status.version,
    uptimeSeconds: Math.floor(process.uptime()),
    daemon: status.daemon.state,
    services: status.services.map(({ name, state, desired, serving }) => ({ name, state, desired, serving })),
  };
}

function summaryOf(status: StatusView) {
  const sum = (of: (service: StatusView['services'][number]) => number): number =>
    status.services.reduce((total, service) => total + of(service), 0);
  return {
    running: status.running,
    version: status.version,
    startedAt: status.startedAt,
    services: { total: status.services.length, healthy: sum(({ state }) => (state === 'healthy' ? 1 : 0)) },
    instances: { desired: sum(({ desired }) => desired), serving: sum(({ serving }) => serving) },
  };
}
