/** What happened: the history, and the same live. */
import type { Request } from 'express';
import { z } from 'zod';
import { GATEWAY_FIELD } from '../../domain/statistics/traffic.js';
import type { ControlPlane } from '../../domain/views/controlPlane.js';
import type { EventStream, ReaderKind } from '../eventStream.js';
import { ok, route } from '../route.js';
import type { Route } from '../route.js';
import { isPrivate, isTrusted } from '../security/callers.js';
import { eventList } from '../schemas/events.js';
import { serviceName } from '../schemas/primitives.js';

const sinceRule = 'must be an ISO 8601 time with its offset, or milliseconds since 1970';
const since = z
  .union([z.iso.datetime({ offset: true }), z.string().regex(/^\d{1,15}$/)], { error: sinceRule })
  .transform((text) => (/^\d+$/.test(text) ? Number(text) : Date.parse(text)))
  .describe('Nothing older: ISO 8601 with offset, or milliseconds since 1970.');

const limitRule = 'must be an integer from 1 to 1000';
const limit = z
  .string()
  .regex(/^\d{1,4}$/, limitRule)
  .transform(Number)
  .refine((number) => number >= 1 && number <= 1000, limitRule)
  .default(100)
  .describe('Most events to return, 1–1000; the newest win. Default 100.');

const historyQuery = z.strictObject({ since: since.optional(), service: serviceName.optional(), limit });

export function eventRoutes(controlPlane: ControlPlane, stream: EventStream): Route[] {
  return [
    route({
      method: 'get',
      path: '/api/ha/events',
      tag: 'insight',
      summary: 'What happened, newest last',
      query: historyQuery,
      answers: { 200: { description: 'The history, as far as it reaches.', data: eventList } },
      handle: ({ query }) =>
        ok({
          events: controlPlane.events({
            limit: query.limit,
            ...(query.since === undefined ? {} : { sinceMs: query.since }),
            ...(query.service === undefined ? {} : { service: query.service }),
          }),
        }),
    }),
    route({
      method: 'get',
      path: '/api/ha/stream',
      tag: 'insight',
      summary: 'What happens, live, as server-sent events',
      description:
        'Frames carry `event` (the type), `id` and `data` (an EventRecord). Gateways that show the token have places of their own. A client that reconnects with `Last-Event-ID` gets what it missed; `event: stream.gap` says that some of it may be lost. Readers that are too slow are cut off.',
      query: z.strictObject({ service: serviceName.optional() }),
      answers: {
        200: { description: 'An endless stream of frames.', contentTypes: ['text/event-stream'] },
      },
      refusals: { 503: '`stream.full`: as many clients as are served follow it already.' },
      handle: ({ query }, { request }) => {
        const kind = kindOf(request);
        stream.admit(kind);
        return {
          kind: 'stream',
          contentType: 'text/event-stream; charset=utf-8',
          start: (response) =>
            stream.open(response, {
              kind,
              service: query.service ?? null,
              lastEventId: request.get('last-event-id'),
            }),
        };
      },
    }),
  ];
}

function kindOf(request: Request): ReaderKind {
  const isGateway = isTrusted(request) && request.get(GATEWAY_FIELD) !== undefined;
  return isGateway || isPrivate(request) ? 'gateway' : 'other';
}
