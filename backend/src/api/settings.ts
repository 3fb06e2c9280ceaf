/** What the API is built from: the operator's settings and limits of ours. */
import { WRONG_TOKEN_DELAY_MS } from '../lib/tokenCheck.js';

export interface ApiSettings {
  /** Address to bind. Anything but loopback requires `token`. */
  readonly host: string;
  /** TCP port; 0 lets the system choose a free one. */
  readonly port: number;
  /** `HA_API_TOKEN`. null or empty: no token, which only a loopback bind allows. */
  readonly token: string | null;
  /** `SESSION_SECRET`: signs browser sessions. null or empty: a random one, so sessions end with the process. */
  readonly sessionSecret: string | null;
  /** Holdfast's own version, shown in answers and in the OpenAPI document. */
  readonly version: string;
  /** Further host names (no port) under which clients may address this API, e.g. a reverse proxy's. */
  readonly allowedHosts?: readonly string[];
}

/** Every bound of the API in one place. They protect the supervisor; operators have no reason to turn them. */
export interface ApiLimits {
  readonly bodyBytes: number;
  readonly headerBytes: number;
  /** Time for a client to send its complete header. */
  readonly headersTimeoutMs: number;
  /** Time for a client to send its complete request. Operations may take longer to *answer*. */
  readonly requestTimeoutMs: number;
  /** How often the two time-outs above are looked at; they end at most this much late. */
  readonly timeoutCheckMs: number;
  readonly keepAliveTimeoutMs: number;
  /** A socket on which nothing moves for this long is closed; above the longest operation. */
  readonly idleTimeoutMs: number;
  /** Connections to the port, beside those of `loopbackConnections`. */
  readonly connections: number;
  /** Of those, without the token, from one address (of IPv6: one /64). */
  readonly connectionsPerAddress: number;
  /** Connections to the port from this machine. */
  readonly loopbackConnections: number;
  /** Connections to the private socket. */
  readonly privateConnections: number;
  /** Answers on one connection that has not shown the token; it ends with the last. */
  readonly unauthenticatedRequests: number;
  /** Requests without the token from one address that are answered each second, where a token is set. */
  readonly unauthenticatedPerSecond: number;
  readonly streamClients: number;
  /** Places of the event stream that are kept for gateways: one each for every service that they balance. */
  readonly gatewayStreams: number;
  /** Unsent bytes at which a reader of the event stream counts as too slow and is dropped. */
  readonly streamBufferBytes: number;
  /** Most events replayed to a client that resumes the event stream. */
  readonly streamReplayEvents: number;
  readonly streamHeartbeatMs: number;
  /** A browser session that is not used for so long ends. */
  readonly sessionIdleMs: number;
  /** One that is used ends all the same so long after its login. */
  readonly sessionLifetimeMs: number;
  /** How long the refusal of a wrong token is held back. */
  readonly wrongTokenDelayMs: number;
}

export const defaultLimits: ApiLimits = {
  bodyBytes: 16 * 1024,
  headerBytes: 8 * 1024,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 20_000,
  timeoutCheckMs: 2_000,
  keepAliveTimeoutMs: 5_000,
  idleTimeoutMs: 660_000,
  connections: 512,
  connectionsPerAddress: 64,
  loopbackConnections: 128,
  privateConnections: 300,
  unauthenticatedRequests: 100,
  unauthenticatedPerSecond: 50,
  streamClients: 50,
  gatewayStreams: 200,
  streamBufferBytes: 256 * 1024,
  streamReplayEvents: 500,
  streamHeartbeatMs: 15_000,
  sessionIdleMs: 12 * 60 * 60 * 1000,
  sessionLifetimeMs: 24 * 60 * 60 * 1000,
  wrongTokenDelayMs: WRONG_TOKEN_DELAY_MS,
};

export interface Readiness {
  readonly ready: boolean;
  /** Why, one sentence. */
  readonly reason: string;
}
