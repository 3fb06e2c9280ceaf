/** Automatic management on and off. */
import type { ControlPlane } from '../../domain/views/controlPlane.js';
import { ok, route } from '../route.js';
import type { Route } from '../route.js';
import { managementStarted, managementStopped } from '../schemas/operation.js';

export function managementRoutes(controlPlane: ControlPlane): Route[] {
  return [
    route({
      method: 'post',
      path: '/api/ha/start',
      tag: 'operations',
      summary: 'Turn automatic management on',
      description: 'Idempotent. Survives a restart of the supervisor.',
      answers: { 200: { description: 'It is on.', data: managementStarted } },
      handle: async (_input, { by }) => ok(await controlPlane.start(by)),
    }),
    route({
      method: 'post',
      path: '/api/ha/stop',
      tag: 'operations',
      summary: 'Turn automatic management off',
      description: 'Idempotent. Services keep running; manual calls still work. Survives a restart.',
      answers: { 200: { description: 'It is off.', data: managementStopped } },
      handle: async (_input, { by }) => ok(await controlPlane.stop(by)),
    }),
  ];
}
