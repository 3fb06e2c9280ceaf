/** The settings of the supervisor's API: where it listens, which callers it believes, and its bounds. */
import { count, durationMs, hostNames, matching, port, text } from './kinds.js';
import { AT_START, optional, SECRET_AT_START, setting, type Registry, type Values } from './setting.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const hostName = matching(/^[A-Za-z0-9.:_-]+$/, 'a host name or an IP address');
const headerText = matching(/^[\x21-\x7e]+$/, 'printable ASCII without spaces');

export const API_SETTINGS = {
  haHost: setting(
    hostName,
    '127.0.0.1',
    'Address that the API listens on. Any other than loopback needs haApiToken.',
    AT_START,
  ),
  haPort: setting(port(), 3_000, 'Port that the API listens on.', AT_START),
  haAllowedHosts: optional(
    hostNames(),
    'Further names under which clients address the API, such as that of a reverse proxy; others are refused.',
    AT_START,
  ),
  haApiToken: optional(
    headerText,
    'Token that callers of the API present (`Authorization: Bearer …`). Use a long random one.',
    SECRET_AT_START,
  ),
  haMaxConnections: setting(
    count(16, 65_536),
    512,
    'Most connections to the port of the API from other machines. One that has shown no token makes room for a new one.',
    AT_START,
  ),
  haMaxConnectionsPerAddress: setting(
    count(1, 65_536),
    64,
    'Most of them from one address (of IPv6: one /64) that have shown no token.',
    AT_START,
  ),
  haMaxLoopbackConnections: setting(
    count(8, 65_536),
    128,
    'Most connections to the port of the API from this machine; they have places of their own. The gateway and the command line of the same user take none: they use a Unix socket in haDataDir.',
    AT_START,
  ),
  haMaxUnauthenticatedRequests: setting(
    count(1, 1_000_000),
    100,
    'A connection that has shown no token ends after so many answers.',
    AT_START,
  ),
  sessionSecret: optional(
    text(),
    'Key that signs browser sessions of the API. Unset: the one made once in `session-secret` in haDataDir.',
    SECRET_AT_START,
  ),
  haSessionIdleTimeout: setting(
    durationMs(60_000, 30 * DAY_MS),
    12 * HOUR_MS,
    'A browser session of the API that is not used for so long ends.',
    AT_START,
  ),
  haSessionLifetime: setting(
    durationMs(60_000, 365 * DAY_MS),
    DAY_MS,
    'A browser session of the API ends so long after its login, however much it is used.',
    AT_START,
  ),
} as const satisfies Registry;

/** What the API holds its callers to. */
export interface ApiBounds {
  readonly connections: number;
  readonly connectionsPerAddress: number;
  readonly loopbackConnections: number;
  readonly unauthenticatedRequests: number;
  readonly sessionIdleMs: number;
  readonly sessionLifetimeMs: number;
}

export function apiBounds(values: Values<typeof API_SETTINGS>): ApiBounds {
  return {
    connections: values.haMaxConnections,
    connectionsPerAddress: values.haMaxConnectionsPerAddress,
    loopbackConnections: values.haMaxLoopbackConnections,
    unauthenticatedRequests: values.haMaxUnauthenticatedRequests,
    sessionIdleMs: values.haSessionIdleTimeout,
    sessionLifetimeMs: values.haSessionLifetime,
  };
}
