/**
 * Calls that change instances. Each answers when it is done; when `timeoutMs` runs out first it answers 202 with
 * what is still under way, and the operation goes on.
 */
import { z } from 'zod';
import type { OperationReport } from '../../domain/model.js';
import type { ControlPlane } from '../../domain/views/controlPlane.js';
import { ok, route } from '../route.js';
import type { AnswerDoc, Reply, Route } from '../route.js';
import { custody, failureReset, operationReport } from '../schemas/operation.js';
import { reason, serviceName, targetInstances, timeoutMs } from '../schemas/primitives.js';

const answers: Readonly<Record<number, AnswerDoc>> = {
  200: { description: 'Done, verified: every instance touched is named.', data: operationReport },
  202: {
    description: 'The time ran out first; `done` is false, `pending` says what is still under way.',
    data: operationReport,
  },
};

const CONFLICT = '`operation.conflict`: another operation on this service is under way.';
const QUARANTINED = '`service.quarantined`: a deploy or reset-failure ends that.';

const JOB = '`service.is-job`: each start of it is one run.';

const RELEASED = '`service.not-managed`: it was let go; adopt takes it back.';
const UNVERIFIED =
  '`service.unverified`: no instance has ever passed the health probe, so that a new one could not be verified either.';

const refusals = {
  404: '`service.unknown`',
  409: `${CONFLICT} ${RELEASED}`,
  502: '`operation.failed`',
  503:
    '`pm2.unreachable`, `pm2.timeout`: the PM2 daemon does not answer. ' +
    '`service.not-adopted`: the supervisor has just started and is still looking at what runs.',
} as const;

const scaleBody = z.strictObject({
  targetInstances: targetInstances.optional(),
  serviceName: serviceName
    .optional()
    .describe('Default: the service that the configuration names, else the first.'),
  timeoutMs,
});

/** The operation routes: scale-up, scale-down, failover, deploy, reset-failure, release, adopt. */
export function operationRoutes(controlPlane: ControlPlane): Route[] {
  return [
    scaleRoute(controlPlane, 'up'),
    scaleRoute(controlPlane, 'down'),
    route({
      method: 'post',
      path: '/api/ha/failover',
      tag: 'operations',
      summary: 'Replace every instance of a service',
      description: 'One at a time; the new one is healthy before the old one leaves.',
      body: z.strictObject({ serviceName, reason: reason.optional(), timeoutMs }),
      answers,
      refusals: { ...refusals, 409: `${CONFLICT} ${QUARANTINED} ${RELEASED} ${UNVERIFIED}` },
      handle: async ({ body }) => report(await controlPlane.failover(withoutUndefined(body))),
    }),
    route({
      method: 'post',
      path: '/api/ha/deploy',
      tag: 'operations',
      summary: 'Roll a service to its new build',
      description:
        'A canary first. If it does not verify, it is removed and the old instances go on serving.',
      body: z.strictObject({
        serviceName,
        putBack: z
          .boolean()
          .optional()
          .describe('First put back the files that served last; those that lie there now are moved aside.'),
        timeoutMs,
      }),
      answers,
      refusals: {
        ...refusals,
        409: `${CONFLICT} \`deploy.nothing-kept\`: no files are kept that could be put back.`,
        424: '`deploy.canary-failed`: nothing changed; the message says why.',
      },
      handle: async ({ body }) => report(await controlPlane.deploy(withoutUndefined(body))),
    }),
    resetFailureRoute(controlPlane),
    releaseRoute(controlPlane),
    adoptRoute(controlPlane),
  ];
}

function scaleRoute(controlPlane: ControlPlane, direction: 'up' | 'down'): Route {
  const up = direction === 'up';
  return route({
    method: 'post',
    path: `/api/ha/scale-${direction}`,
    tag: 'operations',
    summary: up ? 'More instances of a service' : 'Fewer instances of a service',
    description: up
      ? 'Answers when the new instances serve. A number that is reached already is answered with `changed: false`.'
      : 'Each instance is drained before it is stopped; no request is lost. A number that is reached already is answered with `changed: false`.',
    body: scaleBody,
    answers,
    refusals: {
      ...refusals,
      409: up
        ? `\`scale.not-above-current\`: the target is below the current count. ${CONFLICT} ${QUARANTINED} ${JOB}`
        : `\`scale.not-below-current\`: the target is above the current count. ${CONFLICT} ${JOB}`,
      422: '`scale.above-max`, `scale.below-min`: the target is not within the bounds of the service.',
    },
    handle: async ({ body }) => report(await controlPlane.scale({ direction, ...withoutUndefined(body) })),
  });
}

function resetFailureRoute(controlPlane: ControlPlane): Route {
  return route({
    method: 'post',
    path: '/api/ha/reset-failure/:serviceName',
    tag: 'operations',
    summary: 'Forget failures and end a quarantine',
    description: 'Idempotent.',
    params: z.strictObject({ serviceName }),
    answers: { 200: { description: 'Cleared.', data: failureReset } },
    refusals: { 404: '`service.unknown`' },
    handle: async ({ params }, { by }) => ok(await controlPlane.resetFailure(params.serviceName, by)),
  });
}

function releaseRoute(controlPlane: ControlPlane): Route {
  return route({
    method: 'post',
    path: '/api/ha/release/:serviceName',
    tag: 'operations',
    summary: 'Let a service go',
    description:
      'Its instances run on as they are. Holdfast still shows them, and neither restarts, stops, replaces nor scales ' +
      'them, over its own restarts too, until `adopt`. Its restart budget is forgotten. Idempotent.',
    params: z.strictObject({ serviceName }),
    answers: { 200: { description: 'It is left alone.', data: custody } },
    refusals: { 404: '`service.unknown`', 409: CONFLICT },
    handle: async ({ params }, { by }) => ok(await controlPlane.release(params.serviceName, by)),
  });
}

function adoptRoute(controlPlane: ControlPlane): Route {
  return route({
    method: 'post',
    path: '/api/ha/adopt/:serviceName',
    tag: 'operations',
    summary: 'Take a released service back',
    description: 'As many instances as run then are wanted from now on. Idempotent.',
    params: z.strictObject({ serviceName }),
    answers: { 200: { description: 'Holdfast takes care of it.', data: custody } },
    refusals: { 404: '`service.unknown`', 409: '`service.not-configured`: it is not configured any more.' },
    handle: async ({ params }, { by }) => ok(await controlPlane.adopt(params.serviceName, by)),
  });
}

function report(done: OperationReport): Reply {
  return { kind: 'data', status: done.done ? 200 : 202, data: done };
}

type Present<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** zod writes an absent optional as `undefined`; the control plane wants it absent. */
function withoutUndefined<T extends object>(body: T): Present<T> {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined)) as Present<T>;
}
