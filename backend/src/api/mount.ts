/** Turns the registry into Express routes: for each path its methods, OPTIONS, and 405 for everything else. */
import express from 'express';
import type { Express, NextFunction, Request, RequestHandler, Response } from 'express';
import { HoldfastError } from '../domain/errors.js';
import { success } from './envelope.js';
import { sendJson } from './outgoing.js';
import { unsupportedMediaType } from './errorMapper.js';
import { noteRoute, remoteAddressOf, requestIdOf } from './requestLog.js';
import type { CallContext, Reply, Route } from './route.js';

/** Registers every route on `app`, and the 404 for what is left. */
export function mountRoutes(app: Express, routes: readonly Route[], bodyLimitBytes: number): void {
  const readBody = jsonBody(bodyLimitBytes);
  for (const path of new Set(routes.map((each) => each.path))) {
    const group = routes.filter((each) => each.path === path);
    const mounted = app.route(path);
    for (const each of group) {
      const read = each.bodyBytes === undefined ? readBody : jsonBody(each.bodyBytes);
      const handlers = each.method === 'get' ? [call(each)] : [read, call(each)];
      mounted[each.method](...handlers);
    }
    mounted.all(otherMethods(path, group));
  }
  app.use((request, _response, next) => {
    next(
      new HoldfastError(
        'route.unknown',
        `There is no ${request.method} ${printablePath(request)}. All calls are listed at / and in /openapi.json.`,
        { status: 404 },
      ),
    );
  });
}

function call(each: Route): RequestHandler {
  return async (request, response) => {
    noteRoute(response, each.path);
    const remoteAddress = remoteAddressOf(request);
    const context: CallContext = {
      request,
      requestId: requestIdOf(response),
      remoteAddress,
      by: `api:${remoteAddress}`,
    };
    const body: unknown = each.method === 'get' ? undefined : request.body;
    const reply = await each.run({ params: { ...request.params }, query: request.query, body }, context);
    // A caller that left while an operation ran has nobody to answer to.
    if (!response.destroyed) send(request, response, reply);
  };
}

function send(request: Request, response: Response, reply: Reply): void {
  switch (reply.kind) {
    case 'data':
      sendJson(response.status(reply.status).set(reply.headers ?? {}), success(reply.data));
      return;
    case 'text':
      response.set({ ...reply.headers, 'Content-Type': reply.contentType }).send(reply.text);
      return;
    case 'stream':
      response.set('Content-Type', reply.contentType);
      if (request.method === 'HEAD') response.end();
      else reply.start(response);
  }
}

function otherMethods(path: string, group: readonly Route[]): RequestHandler {
  const allow = [...group.flatMap(methodsOf), 'OPTIONS'];
  return (request, response, next: NextFunction) => {
    noteRoute(response, path);
    if (request.method === 'OPTIONS') {
      response.status(204).set('Allow', allow.join(', ')).end();
      return;
    }
    next(
      new HoldfastError(
        'route.method-not-allowed',
        `${printablePath(request)} does not take ${request.method}; it takes ${allow.join(', ')}.`,
        { status: 405, details: { allow } },
      ),
    );
  };
}

function methodsOf(each: Route): string[] {
  return each.method === 'get' ? ['GET', 'HEAD'] : [each.method.toUpperCase()];
}

function printablePath(request: Request): string {
  return request.path.length > 200 ? `${request.path.slice(0, 200)}…` : request.path;
}

/** Reads a JSON object; a body of any other kind is refused, no body at all is fine. */
function jsonBody(limitBytes: number): RequestHandler {
  const parse = express.json({ limit: limitBytes, inflate: false, strict: true, type: 'application/json' });
  return (request, response, next) => {
    const hasBody =
      request.headers['transfer-encoding'] !== undefined ||
      Number(request.headers['content-length'] ?? 0) > 0;
    if (hasBody && request.is('application/json') === false) {
      next(unsupportedMediaType('The body is not declared as JSON.'));
      return;
    }
    parse(request, response, next);
  };
}
