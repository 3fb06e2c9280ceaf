/**
 * Names and observes every request: an id for the answer and the log, one debug line when it is over, one count
 * in the API's own metrics. Paths only: never a query, a body, a header or a token.
 */
import { randomUUID } from 'node:crypto';
import type { Request, RequestHandler, Response } from 'express';
import { withoutMapping } from '../domain/network/network.js';
import type { Logger } from '../ports.js';
import { isPrivate } from './security/callers.js';

const SANE_ID = /^[\w.:-]{1,64}$/;

export interface FinishedRequest {
  readonly method: string;
  /** The route's pattern, or `unmatched`: bounded, so it may be a label. */
  readonly route: string;
  readonly status: number;
  readonly durationSeconds: number;
}

export function requestLog(logger: Logger, observe: (finished: FinishedRequest) => void): RequestHandler {
  return (request, response, next) => {
    const startedMs = performance.now();
    const offered = request.get('x-request-id');
    const requestId = offered !== undefined && SANE_ID.test(offered) ? offered : randomUUID();
    response.locals['requestId'] = requestId;
    response.set('X-Request-Id', requestId);
    response.once('close', () => {
      const durationMs = performance.now() - startedMs;
      const { method, path } = request;
      const route = routeOf(response);
      // A client that left before its answer has no status; 499 is what proxies log for it.
      const status = response.headersSent ? response.statusCode : 499;
      observe({ method, route, status, durationSeconds: durationMs / 1000 });
      logger.debug('API call', {
        requestId,
        method,
        path: path.slice(0, 200),
        status,
        durationMs: Math.round(durationMs * 10) / 10,
        remoteAddress: remoteAddressOf(request),
      });
    });
    next();
  };
}

export function requestIdOf(response: Response): string {
  return String(response.locals['requestId']);
}

/** Remembers which route a request found, for log and metrics. */
export function noteRoute(response: Response, path: string): void {
  response.locals['route'] = path;
}

function routeOf(response: Response): string {
  const noted: unknown = response.locals['route'];
  return typeof noted === 'string' ? noted : 'unmatched';
}

/** The socket's peer, `private-socket` where that has no address; forwarding headers are not believed. */
export function remoteAddressOf(request: Request): string {
  if (isPrivate(request)) return 'private-socket';
  return withoutMapping(request.socket.remoteAddress ?? 'unknown');
}
