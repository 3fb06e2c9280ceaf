/**
 * Passes requests on to the backend and streams the answers back, so that the browser sees one origin. Small on
 * purpose: real balancing is the gateway's work; BACKEND_URL may point there.
 */
import type { RequestHandler } from 'express';
import http from 'node:http';
import { forwardedFor, isLoopback } from '../lib/clientIp.js';
import { AppError, codeOf } from '../lib/errors.js';

export interface ForwardOptions {
  /** Origin of the backend, `http:` only. */
  readonly target: URL;
  /** How long the backend may stay silent. Default 15 s. */
  readonly timeoutMs?: number;
}

/** Concern one hop only (RFC 9110, 7.6.1); whatever `Connection` names comes on top. */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

export interface Forwarder {
  readonly handle: RequestHandler;
  /** Closes idle connections to the backend. */
  close(): void;
}

export function createForwarder({ target, timeoutMs = 15_000 }: ForwardOptions): Forwarder {
  // Idle for less time than the backend keeps connections, so that it never closes one under a request.
  const agent = new http.Agent({ keepAlive: true, maxFreeSockets: 32, timeout: 30_000 });

  const handle: RequestHandler = (request, response, next) => {
    const hasBody =
      request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined;
    const send = (isRetry: boolean): void => {
      const outgoing = http.request({
        // The second attempt takes a fresh connection: the other kept ones may be as dead.
        agent: isRetry ? false : agent,
        host: target.hostname,
        port: target.port,
        method: request.method,
        path: request.originalUrl,
        headers: requestHeaders(request),
        timeout: timeoutMs,
      });
      let timedOut = false;
      const abort = (): void => void outgoing.destroy();
      response.once('close', abort);
      outgoing.on('timeout', () => {
        timedOut = true;
        outgoing.destroy();
      });
      outgoing.on('response', (answer) => {
        response.writeHead(answer.statusCode ?? 502, withoutHopByHop(answer.headers));
        answer.on('error', () => response.destroy());
        answer.pipe(response);
      });
      outgoing.on('error', (error) => {
        response.off('close', abort);
        if (response.destroyed) return;
        if (response.headersSent) return void response.destroy();
        // A kept connection that the backend closed in the same moment says nothing about the backend. Only
        // what is safe to send twice, and can be, is sent again: GET and HEAD without a body.
        const repeatable = !hasBody && (request.method === 'GET' || request.method === 'HEAD');
        if (outgoing.reusedSocket && repeatable && !isRetry && !timedOut) return send(true);
        next(backendError(error, timedOut));
      });
      // Without a body there is nothing to pipe, and a second attempt could not pipe a stream that has ended.
      if (hasBody) request.pipe(outgoing);
      else outgoing.end();
    };
    send(false);
  };

  return { handle, close: () => agent.destroy() };
}

function requestHeaders(request: http.IncomingMessage): http.OutgoingHttpHeaders {
  const headers = withoutHopByHop(request.headers);
  delete headers['expect']; // answered by this hop already
  const peer = request.socket.remoteAddress ?? 'unknown';
  // What a stranger claims about its past is not passed on.
  const trusted = isLoopback(peer);
  headers['x-forwarded-for'] = [...(trusted ? forwardedFor(request) : []), peer].join(', ');
  if (!trusted || headers['x-forwarded-proto'] === undefined) headers['x-forwarded-proto'] = 'http';
  if (!trusted || headers['x-forwarded-host'] === undefined)
    headers['x-forwarded-host'] = request.headers.host;
  return headers;
}

function withoutHopByHop(headers: http.IncomingHttpHeaders): http.OutgoingHttpHeaders {
  const named = (headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase());
  const dropped = new Set([...HOP_BY_HOP, ...named]);
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !dropped.has(name)));
}

function backendError(error: Error, timedOut: boolean): AppError {
  if (timedOut) {
    return new AppError('backend.timeout', 'the backend took too long to answer; try again', {
      status: 504,
      retryAfterSeconds: 1,
      cause: error,
    });
  }
  const why = codeOf(error) === 'ECONNREFUSED' ? 'is not running' : 'broke the connection';
  return new AppError('backend.unreachable', `the backend ${why}; try again shortly`, {
    status: 502,
    retryAfterSeconds: 1,
    cause: error,
  });
}
