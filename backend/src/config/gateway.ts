/** From the gateway's settings to what the gateway is built from, and the rules between those settings. */
import { isDeepStrictEqual } from 'node:util';
import type { HealthPolicy } from '../domain/policy.js';
import type { FallbackSnapshot, PoolSnapshot, RouteSnapshot } from '../domain/upstreams/pool.js';
import type { UpstreamSource } from '../domain/upstreams/upstreamSource.js';
import type { FallbackSetting } from './fallbackKind.js';
import type { GatewayValues } from './gatewaySchema.js';
import { chosenSources, SOURCE_KEYS, SOURCE_RULES, sourceOf, type IsSet } from './gatewaySources.js';
import type { EnvironmentValues, GlobalValues } from './schema.js';

/** Everything of a pool but its name and its upstreams. A sticky cookie without keys is signed with the kept one. */
export type PoolTraits = Omit<PoolSnapshot, 'name' | 'upstreams'>;

/** Names and meanings as in gateway/shared/limits.ts; what is not here has no setting. */
export interface LimitSettings {
  readonly maxHeadBytes: number;
  readonly maxBodyBytes: number;
  readonly maxConnections: number;
  readonly maxStreamsPerConnection: number;
  readonly maxConnectionsPerIp: number;
  readonly maxRequestsPerSecondPerIp: number;
  readonly ipv6PrefixBits: number;
  readonly maxInFlightPerUpstream: number;
  readonly maxQueued: number;
  readonly maxAttempts: number;
  readonly queueTimeoutMs: number;
  readonly headTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly responseTimeoutMs: number;
  readonly streamTimeoutMs: number;
  readonly tunnelTimeoutMs: number;
}

export interface TlsSettings {
  readonly port: number;
  /** The default one; paths are absolute. null: the first of the directory. */
  readonly pair: { readonly certificate: string; readonly key: string } | null;
  readonly directory: string | null;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
}

export interface GatewayConfig {
  readonly host: string;
  readonly port: number;
  readonly workers: number | 'auto';
  readonly trustedProxies: readonly string[];
  readonly proxyProtocolFrom: readonly string[];
  /** Whether clients on this machine need the token for its pages, too. */
  readonly tokenOnLoopback: boolean;
  /** null: no TLS. */
  readonly tls: TlsSettings | null;
  /** Offered to TLS clients. */
  readonly http2: boolean;
  /** null: plain requests are served. */
  readonly tlsRedirectPort: number | null;
  readonly stopTimeoutMs: number;
  readonly accessLog: 'off' | 'json' | 'combined';
  /** 0–1. */
  readonly accessLogSample: number;
  readonly source: UpstreamSource;
  /** Of every upstream that its source has not verified itself. */
  readonly check: HealthPolicy;
  readonly pool: PoolTraits;
  /** What stands in for a pool that cannot be reached; a path is absolute. null: nothing does. */
  readonly fallback: FallbackSetting | null;
  /** null: those of the deployment, where the source is PM2, else one pool for everything. */
  readonly routes: readonly RouteSnapshot[] | null;
  /** What the ecosystem file brings along. They name its services: where upstreams come from elsewhere they mean nothing. */
  readonly deploymentRoutes: readonly RouteSnapshot[] | null;
  readonly limits: LimitSettings;
}

export interface Routing {
  readonly routes: readonly RouteSnapshot[];
  readonly pools: readonly Omit<PoolSnapshot, 'upstreams'>[];
}

/** The pool of the upstreams that LB_FALLBACK lists. */
export const FALLBACK_POOL = 'lb-fallback';

/** A sticky cookie is wanted, and no key to sign it is configured: the one that the data directory keeps is needed. */
export const needsKeptKey = ({ pool }: GatewayConfig): boolean => pool.sticky?.keys.length === 0;

/**
 * @param defaultPool serves everything where no routes are set.
 * @param pageHtml what the file of LB_FALLBACK holds; null: nothing, then there is no such fallback.
 * @param keptKey signs the sticky cookie where no key is configured; null: then there is no cookie.
 */
export function gatewayRouting(
  gateway: GatewayConfig,
  defaultPool: string,
  keptKey: string | null = null,
  pageHtml: string | null = null,
): Routing {
  const { source, routes, deploymentRoutes } = gateway;
  const pool = needsKeptKey(gateway) ? withKey(gateway.pool, keptKey) : gateway.pool;
  const inherited = source.kind === 'pm2' ? deploymentRoutes : null;
  const all = routes ?? inherited ?? [{ host: null, pathPrefix: '/', pool: defaultPool }];
  const fallback = fallbackSnapshot(gateway.fallback, pageHtml);
  const spare = fallback?.kind === 'pool' ? fallback.pool : null;
  const names = [...new Set([...all.map((route) => route.pool), ...(spare === null ? [] : [spare])])];
  return {
    routes: all,
    // The pool that stands in for others has none to stand in for it.
    pools: names.map((name) => ({
      name,
      ...pool,
      ...(fallback === null || name === spare ? {} : { fallback }),
    })),
  };
}

function fallbackSnapshot(setting: FallbackSetting | null, html: string | null): FallbackSnapshot | null {
  switch (setting?.kind) {
    case undefined:
      return null;
    case 'page':
      return html === null ? null : { kind: 'page', html };
    case 'hosts':
      return { kind: 'pool', pool: FALLBACK_POOL };
    default:
      return setting;
  }
}

function fallbackOf(
  { lbFallback }: GatewayValues,
  absolute: (path: string) => string,
): FallbackSetting | null {
  return lbFallback?.kind === 'page' ? { kind: 'page', file: absolute(lbFallback.file) } : lbFallback;
}

function withKey(pool: PoolTraits, key: string | null): PoolTraits {
  return { ...pool, sticky: key === null || pool.sticky === null ? null : { ...pool.sticky, keys: [key] } };
}

export interface GatewayInputs {
  readonly values: GatewayValues;
  readonly global: GlobalValues;
  readonly environment: EnvironmentValues;
  readonly isSet: IsSet;
  readonly check: HealthPolicy;
  /** Makes a path of the configuration absolute. */
  readonly absolute: (path: string) => string;
}

export function gatewayConfig(inputs: GatewayInputs): GatewayConfig {
  const { values, global, check, absolute } = inputs;
  return {
    host: values.balancerHost,
    port: values.balancerPort,
    workers: values.gatewayWorkers,
    trustedProxies: values.trustedProxies ?? [],
    proxyProtocolFrom: values.proxyProtocolFrom ?? [],
    tokenOnLoopback: values.lbTokenOnLoopback,
    tls: tlsOf(values, absolute),
    http2: values.tlsHttp2,
    tlsRedirectPort: values.tlsRedirectPort,
    stopTimeoutMs: values.gatewayStopTimeout,
    accessLog: values.accessLog,
    accessLogSample: values.accessLogSample,
    source: sourceOf(inputs),
    check,
    pool: poolTraits(values, global),
    fallback: fallbackOf(values, absolute),
    routes: values.lbRoutes,
    deploymentRoutes: values.lbDefaultRoutes,
    limits: limitsOf(values),
  };
}

/**
 * What a running gateway goes on with when the files say `wanted`: some things only a start can change, and what is said
 * for their sake (routes for another source, redirects to a port that is yet to listen) waits for that start, too.
 */
export function appliedLive(running: GatewayConfig, wanted: GatewayConfig): GatewayConfig {
  const { host, port, workers, tls, source, fallback } = running;
  const { routes, deploymentRoutes } = isDeepStrictEqual(source, wanted.source) ? wanted : running;
  const { tlsRedirectPort } = (tls === null) === (wanted.tls === null) ? wanted : running;
  return { ...wanted, host, port, workers, tls, source, fallback, routes, deploymentRoutes, tlsRedirectPort };
}

function tlsOf(values: GatewayValues, absolute: (path: string) => string): TlsSettings | null {
  const { tlsPort, tlsCert, tlsKey, tlsCertDir } = values;
  if (tlsPort === null) return null;
  return {
    port: tlsPort,
    pair:
      tlsCert === null || tlsKey === null ? null : { certificate: absolute(tlsCert), key: absolute(tlsKey) },
    directory: tlsCertDir === null ? null : absolute(tlsCertDir),
    minVersion: values.tlsMinVersion,
  };
}

function stickyKeys({ lbStickyKeys }: GatewayValues, { sessionSecret }: GlobalValues): readonly string[] {
  return lbStickyKeys ?? (sessionSecret === null ? [] : [sessionSecret]);
}

function poolTraits(values: GatewayValues, global: GlobalValues): PoolTraits {
  return {
    algorithm: values.lbAlgorithm,
    hashOn: values.lbHashOn,
    slowStartMs: values.lbSlowStart,
    sticky:
      values.lbStickyCookie === null
        ? null
        : {
            cookieName: values.lbStickyCookie,
            lifetimeMs: values.lbStickyLifetime,
            keys: stickyKeys(values, global),
          },
    retryBudget: { share: values.lbRetryShare / 100, min: values.lbRetryMin },
    retryUnsafe: values.lbRetryUnsafe,
    ejection: {
      consecutiveFailures: values.lbEjectAfter,
      baseMs: values.lbEjectTime,
      maxMs: values.lbEjectMaxTime,
      minHealthyShare: values.lbMinHealthyShare / 100,
    },
  };
}

function limitsOf(values: GatewayValues): LimitSettings {
  return {
    maxHeadBytes: values.lbMaxHead,
    maxBodyBytes: values.lbMaxBody,
    maxConnections: values.lbMaxConnections,
    maxStreamsPerConnection: values.lbMaxStreams,
    maxConnectionsPerIp: values.lbMaxConnectionsPerIp,
    maxRequestsPerSecondPerIp: values.lbMaxRequestsPerIp,
    ipv6PrefixBits: values.lbIpv6Prefix,
    maxInFlightPerUpstream: values.lbMaxInFlight,
    maxQueued: values.lbMaxQueued,
    maxAttempts: values.lbMaxAttempts,
    queueTimeoutMs: values.lbQueueTimeout,
    headTimeoutMs: values.lbHeadTimeout,
    idleTimeoutMs: values.lbIdleTimeout,
    bodyTimeoutMs: values.lbBodyTimeout,
    connectTimeoutMs: values.lbConnectTimeout,
    responseTimeoutMs: values.lbResponseTimeout,
    streamTimeoutMs: values.lbStreamTimeout,
    tunnelTimeoutMs: values.lbTunnelTimeout,
  };
}

type Key = keyof GatewayValues;

export interface GatewayRule {
  readonly blames: Key;
  readonly inViewOf: readonly Key[];
  holds(values: GatewayValues, isSet: IsSet): boolean;
  allowed(values: GatewayValues, isSet: IsSet): string;
}

function goesWith(blames: Key, other: Key): GatewayRule {
  return {
    blames,
    inViewOf: [other],
    holds: (values) => values[blames] === null || values[other] !== null,
    allowed: () => `${other} set as well, or this unset`,
  };
}

export const GATEWAY_RULES: readonly GatewayRule[] = [
  ...SOURCE_RULES,
  goesWith('tlsCert', 'tlsKey'),
  goesWith('tlsKey', 'tlsCert'),
  goesWith('tlsCert', 'tlsPort'),
  goesWith('tlsCertDir', 'tlsPort'),
  {
    blames: 'tlsPort',
    inViewOf: ['tlsCert', 'tlsCertDir'],
    holds: ({ tlsPort, tlsCert, tlsCertDir }) => tlsPort === null || tlsCert !== null || tlsCertDir !== null,
    allowed: () => 'tlsCert with tlsKey, or tlsCertDir, set as well',
  },
  {
    blames: 'tlsPort',
    inViewOf: ['balancerPort'],
    holds: ({ tlsPort, balancerPort }) => tlsPort !== balancerPort,
    allowed: ({ balancerPort }) => `another port than balancerPort (${balancerPort})`,
  },
  {
    blames: 'lbRoutes',
    inViewOf: SOURCE_KEYS,
    holds: (values, isSet) => values.lbRoutes === null || chosenSources(isSet).length === 0,
    allowed: (_values, isSet) =>
      `this unset, because all traffic goes to the upstreams of ${chosenSources(isSet)[0]}`,
  },
  {
    blames: 'lbEjectTime',
    inViewOf: ['lbEjectMaxTime'],
    holds: ({ lbEjectTime, lbEjectMaxTime }) => lbEjectTime <= lbEjectMaxTime,
    allowed: ({ lbEjectMaxTime }) => `at most lbEjectMaxTime (${lbEjectMaxTime})`,
  },
];
