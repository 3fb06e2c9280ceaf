/** What is going on: views of the control plane, as they are. */
import type { ControlPlane, HealthView } from '../../domain/views/controlPlane.js';
import { ok, route } from '../route.js';
import type { Route } from '../route.js';
import { failover } from '../schemas/failover.js';
import { loadBalancer } from '../schemas/loadBalancer.js';
import { metrics } from '../schemas/metrics.js';
import { health, status } from '../schemas/status.js';

export function insightRoutes(controlPlane: ControlPlane): Route[] {
  return [
    route({
      method: 'get',
      path: '/api/ha/status',
      tag: 'insight',
      summary: 'Everything at a glance',
      answers: { 200: { description: 'Now.', data: status } },
      handle: () => ok(controlPlane.status()),
    }),
    healthRoute(controlPlane),
    route({
      method: 'get',
      path: '/api/ha/metrics',
      tag: 'insight',
      summary: 'Figures of the system, each service and each instance, and of availability',
      answers: { 200: { description: 'Now; null where something was not measured.', data: metrics } },
      handle: async () => ok(await controlPlane.metrics()),
    }),
    route({
      method: 'get',
      path: '/api/ha/load-balancer',
      tag: 'insight',
      summary: 'How many instances, and why: thresholds and the last decisions',
      answers: { 200: { description: 'Now.', data: loadBalancer } },
      handle: () => ok(controlPlane.loadBalancer()),
    }),
    route({
      method: 'get',
      path: '/api/ha/failover-manager',
      tag: 'insight',
      summary: 'Which instances are unfit, and what was tried: limits, budgets, failures',
      answers: { 200: { description: 'Now.', data: failover } },
      handle: () => ok(controlPlane.failoverManager()),
    }),
  ];
}

function healthRoute(controlPlane: ControlPlane): Route {
  // A check probes every instance: callers that come while one runs share its result.
  let running: Promise<HealthView> | null = null;
  const check = (): Promise<HealthView> => {
    running ??= controlPlane.health().finally(() => {
      running = null;
    });
    return running;
  };
  return route({
    method: 'get',
    path: '/api/ha/health',
    tag: 'insight',
    summary: 'Check every instance now',
    description: 'A service that an operator stopped is a check that does not pass: degraded, not unhealthy.',
    answers: {
      200: { description: 'Healthy or degraded; a line a check.', data: health },
      503: { description: 'Unhealthy: a service that should serve does not.', data: health },
    },
    handle: async () => {
      const view = await check();
      return { kind: 'data', status: view.status === 'unhealthy' ? 503 : 200, data: view };
    },
  });
}
