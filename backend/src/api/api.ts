/**
 * The control plane's HTTP API (Express), put together. A request walks once through: id and log → headers →
 * Host and Origin → token (neither for the private socket) → route → body → validation → the ControlPlane; whatever throws ends in the one error
 * mapper. Nothing of the control plane is touched before all of that has passed.
 */
import express from 'express';
import type { Express, RequestHandler } from 'express';
import { HoldfastError } from '../domain/errors.js';
import type { ControlPlane } from '../domain/views/controlPlane.js';
import type { Logger } from '../ports.js';
import { errorMapper } from './errorMapper.js';
import { EventStream } from './eventStream.js';
import { HttpServer, type PrivateSocket } from './httpServer.js';
import { Exposition } from './metrics/exposition.js';
import { OwnMetrics } from './metrics/ownMetrics.js';
import { mountRoutes } from './mount.js';
import { requestLog } from './requestLog.js';
import type { Route } from './route.js';
import { buildRoutes } from './routes/index.js';
import { Authenticator } from './security/authenticator.js';
import type { SessionStore } from './security/revokedSessions.js';
import { securityHeaders } from './security/headers.js';
import { isLoopback, sameOriginOnly } from './security/sameOrigin.js';
import { defaultLimits } from './settings.js';
import type { ApiLimits, ApiSettings, Readiness } from './settings.js';

export type { ApiLimits, ApiSettings, Readiness } from './settings.js';

export interface ApiOptions {
  readonly controlPlane: ControlPlane;
  readonly settings: ApiSettings;
  readonly logger: Logger;
  /** Asked on every `/readyz`; must answer at once. */
  readonly readiness: () => Readiness;
  /** Names the process that listens on a port, or null; used for the message of `port.taken`. Default: unknown. */
  readonly describePortHolder?: (port: number) => Promise<string | null>;
  /** How long to try again while the port is taken, ms. Default 0. */
  readonly portPatienceMs?: number;
  /** Where programs of this user call without a token. Default: nowhere. */
  readonly privateSocket?: PrivateSocket;
  /** Keeps which browser sessions were logged out. Default: known for as long as this process runs. */
  readonly sessionStore?: SessionStore;
  /** Default: `defaultLimits`. */
  readonly limits?: Partial<ApiLimits>;
}

export interface Api {
  readonly app: Express;
  readonly routes: readonly Route[];
  /** Starts to accept. Rejects with HoldfastError `port.taken`, `port.forbidden`, `host.unavailable`, `listen.failed`. */
  listen(): Promise<{ readonly url: string; readonly port: number }>;
  /** Ends streams, lets requests in flight finish for `graceMs`, then cuts what is left. Idempotent. */
  close(options: { readonly graceMs: number }): Promise<void>;
}

/** @throws HoldfastError `config.token-required` when bound beyond loopback without a token. */
export function createApi(options: ApiOptions): Api {
  const { controlPlane, settings, logger, readiness } = options;
  requireTokenBeyondLoopback(settings);
  const limits: ApiLimits = { ...defaultLimits, ...options.limits };
  const authenticator = new Authenticator({
    settings,
    limits,
    logger,
    sessionStore: options.sessionStore ?? null,
    onAuthenticated: ({ socket }) => server.connections.authenticate(socket),
  });
  const stream = new EventStream(controlPlane, limits, logger);
  const own = new OwnMetrics();
  const exposition = new Exposition(controlPlane, own, () => ({
    streamClients: stream.clients,
    streamDropped: stream.dropped,
    wrongTokens: authenticator.refused,
    connections: server.figures,
  }));
  const { version } = settings;
  const routes = buildRoutes({ controlPlane, readiness, stream, authenticator, exposition, version });

  const app = express();
  app.disable('x-powered-by').disable('etag').set('query parser', 'simple');
  // A call has one spelling, the one that the access rule knows.
  app.enable('strict routing').enable('case sensitive routing');
  app.use(
    requestLog(logger, (finished) => own.observe(finished)),
    securityHeaders,
    sameOriginOnly(settings.host, settings.allowedHosts ?? []),
    wellEncoded,
    exceptFor(publicCalls(routes), authenticator.middleware),
  );
  mountRoutes(app, routes, limits.bodyBytes);
  app.use(errorMapper(logger, limits.bodyBytes));

  const server = new HttpServer(app, {
    host: settings.host,
    port: settings.port,
    limits,
    logger,
    portPatienceMs: options.portPatienceMs ?? 0,
    hasToken: settings.token !== null && settings.token !== '',
    isBelieved: (request) => authenticator.knows(request),
    privateSocket: options.privateSocket ?? null,
    describePortHolder: options.describePortHolder ?? (() => Promise.resolve(null)),
  });
  return {
    app,
    routes,
    listen: async () => {
      await authenticator.load();
      return server.listen();
    },
    close: ({ graceMs }) => {
      stream.close();
      return server.close(graceMs);
    },
  };
}

function requireTokenBeyondLoopback({ host, token }: ApiSettings): void {
  if (isLoopback(host) || (token !== null && token !== '')) return;
  throw new HoldfastError(
    'config.token-required',
    `HA_HOST is ${host}, which other machines can reach, but HA_API_TOKEN is not set. Set HA_API_TOKEN to a long random text (e.g. from "openssl rand -hex 32"), or HA_HOST to 127.0.0.1.`,
    { details: { host } },
  );
}

/** `%zz` in a path or a query is nobody's name; it is refused before anything tries to read it. */
const wellEncoded: RequestHandler = (request, _response, next) => {
  try {
    decodeURIComponent(request.url);
    next();
  } catch {
    next(
      new HoldfastError('request.bad-encoding', 'The URL has a % that does not begin a valid UTF-8 escape.', {
        status: 400,
      }),
    );
  }
};

function publicCalls(routes: readonly Route[]): ReadonlySet<string> {
  const open = routes.filter((each) => each.access === 'public');
  return new Set(
    open.flatMap(({ method, path }) =>
      method === 'get' ? [`GET ${path}`, `HEAD ${path}`] : [`${method.toUpperCase()} ${path}`],
    ),
  );
}

function exceptFor(calls: ReadonlySet<string>, middleware: RequestHandler): RequestHandler {
  return (request, response, next) =>
    calls.has(`${request.method} ${request.path}`) ? next() : middleware(request, response, next);
}
