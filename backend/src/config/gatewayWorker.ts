import type { Config } from './load.js';

/** Within a drain: a supervised instance is stopped after its kill time-out (10 s) even with WebSockets left. */
const MOST_TUNNEL_DRAIN_MS = 5_000;

/** What a gateway's workers are built from: the part of the configuration that crosses to their processes. */
export function workerSettings({ gateway, apiToken }: Config) {
  return {
    limits: gateway.limits,
    trustedProxies: gateway.trustedProxies,
    proxyProtocolFrom: gateway.proxyProtocolFrom,
    http2: gateway.http2,
    tlsRedirectPort: gateway.tlsRedirectPort,
    token: apiToken,
    accessLog:
      gateway.accessLog === 'off' ? null : { format: gateway.accessLog, sample: gateway.accessLogSample },
    tunnelDrainMs: Math.min(MOST_TUNNEL_DRAIN_MS, gateway.stopTimeoutMs),
  };
}
