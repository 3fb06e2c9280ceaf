/** From the configuration to what a gateway's workers are built from, and to how a gateway stops. */
import { createHash } from 'node:crypto';
import type { Config } from './load.js';
import { unusedSettings } from './unused.js';

/** Within a drain: a supervised instance is stopped after its kill time-out (10 s) even with WebSockets left. */
const MOST_TUNNEL_DRAIN_MS = 5_000;
/** Over which time a gateway that stops closes WebSockets and idle connections: they don't come back all at once. */
const MOST_CLOSE_WINDOW_MS = 10_000;
/** Of the time until it is killed, what a gateway keeps for its own end. */
const OWN_END_MS = 2_000;

/**
 * How long requests under way, and WebSockets, may take at a stop, ms.
 * @param killMs from the signal to SIGKILL, where somebody counts: what goes beyond would be cut in the middle.
 */
export function stopTimes({ gateway }: Config, killMs = Infinity) {
  const graceMs = Math.min(gateway.stopTimeoutMs, Math.max(killMs / 2, killMs - OWN_END_MS));
  return { graceMs, webSocketWindowMs: Math.min(MOST_CLOSE_WINDOW_MS, graceMs) };
}

/** What a valid configuration can't have here, a sentence each. */
export function standingProblems(config: Config, killMs: number): readonly string[] {
  const unused = unusedSettings(config, 'gateway', Number.isFinite(killMs));
  return [stopProblem(config, killMs), ...unused].filter((problem) => problem !== null);
}

/** Less time than configured; null: there is enough. */
function stopProblem(config: Config, killMs: number): string | null {
  const wantedMs = config.gateway.stopTimeoutMs;
  const { graceMs } = stopTimes(config, killMs);
  if (graceMs >= wantedMs) return null;
  const [kill, grace, wanted] = [killMs, graceMs, wantedMs].map((ms) => `${ms / 1_000} s`);
  return (
    `PM2 kills the gateway ${kill} after it told it to stop, so requests under way get ${grace}, not the ${wanted} of ` +
    'gatewayStopTimeout. Set GATEWAY_STOP_TIMEOUT in .env, which PM2 is told too, and start the gateway anew.'
  );
}

/**
 * The gateway's name in Via (RFC 9110, 7.6.3), by which it knows a request that comes back. That of its workers and of its
 * successors too, and of no other gateway: several may stand one behind the other, also where hosts are called the same.
 */
function viaName(host: string, { dataDir, gateway }: Config): string {
  const where = `${host}\n${dataDir}\n${gateway.port}`;
  return `holdfast-${createHash('sha256').update(where).digest('hex').slice(0, 12)}`;
}

/**
 * The part of the configuration that crosses to the workers' processes.
 * @param host name of this machine.
 */
export function workerSettings(config: Config, host: string) {
  const { gateway, apiToken } = config;
  return {
    viaName: viaName(host, config),
    stop: stopTimes(config),
    limits: gateway.limits,
    trustedProxies: gateway.trustedProxies,
    proxyProtocolFrom: gateway.proxyProtocolFrom,
    http2: gateway.http2,
    tlsRedirectPort: gateway.tlsRedirectPort,
    token: apiToken,
    secrets: config.secrets,
    tokenOnLoopback: gateway.tokenOnLoopback,
    accessLog:
      gateway.accessLog === 'off' ? null : { format: gateway.accessLog, sample: gateway.accessLogSample },
    tunnelDrainMs: Math.min(MOST_TUNNEL_DRAIN_MS, gateway.stopTimeoutMs),
  };
}
