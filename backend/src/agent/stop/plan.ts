/**
 * How long a stop waits, and for what: pure rules over what is open, asked anew every LOOK_MS. All times are ms.
 *
 *   signal ──────▶ listening ends ───────▶ nothing is under way any more ──▶ end
 *             first 200 ms without a new       (idle connections are closed after
 *             connection, 500 at most           500 ms of silence, WebSockets told)
 *     └──────────────────────── time allowed ────────────────────────────▶ end, come what may
 *
 * Why it is not at once. Whoever sends requests has to learn of the stop first, and until then goes on: a connection in
 * the queue of the kernel, or of PM2's daemon in cluster mode, is refused only after it was accepted, and a request that
 * is on its way when its idle connection is closed is lost, too. So there is a moment in which everything is still
 * served, each answer with `Connection: close`, and only what stays silent in it is closed. The agent tells the supervisor
 * as the moment begins, and a gateway hears of it within some milliseconds: 200 are enough on a busy machine, too. Who was
 * told before (a gateway that drains) sends nothing, and that is all the moment costs.
 */

/** Between two looks at what is open. */
export const LOOK_MS = 25;
/** This long without a new connection, and nobody is likely to be on the way. */
const QUIET_MS = 200;
/** New connections are accepted for at most so long after the signal. */
const LATEST_LISTENING_MS = 500;
/** An HTTP connection without a request, and without a byte for so long, is idle. */
const IDLE_MS = 500;
/** A protocol that can't be read: so long without a byte counts as nothing under way. */
const OPAQUE_IDLE_MS = 2_000;
/** A WebSocket that was sent its Close frame has so long to answer it. */
const FAREWELL_MS = 2_000;
/** WebSockets are told over a tenth of the time allowed: all their clients come back, and should not do so at once. */
const FAREWELL_SHARE = 0.1;

/** One connection that a server of this process has accepted. */
export type Connection =
  /** `quietMs`: since a byte went either way, or since the signal. */
  | { readonly kind: 'http'; readonly underWay: boolean; readonly quietMs: number }
  /** `toldMs`: since it was told to close (GOAWAY, Close frame); null: not yet. */
  | { readonly kind: 'http2' | 'websocket'; readonly toldMs: number | null }
  /** Anything else: plain TCP, an upgrade to something unknown. */
  | { readonly kind: 'opaque'; readonly quietMs: number };

/**
 * `wait`: the stop must not end yet. `close`: do it, nothing is lost. `tell`: say goodbye, then wait. `leave`: neither
 * touched nor waited for; the end of the process ends it.
 */
export type Step = 'wait' | 'close' | 'tell' | 'leave';

export function stepFor(connection: Connection): Step {
  switch (connection.kind) {
    case 'http':
      return connection.underWay || connection.quietMs < IDLE_MS ? 'wait' : 'close';
    case 'http2':
      return connection.toldMs === null ? 'tell' : 'wait';
    case 'websocket':
      if (connection.toldMs === null) return 'tell';
      return connection.toldMs < FAREWELL_MS ? 'wait' : 'leave';
    case 'opaque':
      return connection.quietMs < OPAQUE_IDLE_MS ? 'wait' : 'leave';
  }
}

/** `sinceConnectionMs`: since the last new connection, or since the signal. */
export function isListeningOver(sinceSignalMs: number, sinceConnectionMs: number): boolean {
  return sinceConnectionMs >= QUIET_MS || sinceSignalMs >= LATEST_LISTENING_MS;
}

/**
 * What of the time from the signal to SIGKILL a stop may take: a tenth of it, 100 ms at least and a second at most, is
 * left for the end itself, so that the process ends by itself and not by force.
 */
export function timeAllowedMs(killTimeoutMs: number): number {
  const marginMs = Math.min(1_000, Math.max(100, killTimeoutMs / 10));
  return Math.max(killTimeoutMs / 2, killTimeoutMs - marginMs);
}

/** How many of `websockets` (those not yet told when the stop began) to tell in one look. */
export function farewellsPerLook(websockets: number, allowedMs: number): number {
  return Math.max(1, Math.ceil(websockets / Math.max(1, (allowedMs * FAREWELL_SHARE) / LOOK_MS)));
}

/** PM2's own default, where a process has no `kill_timeout` of its own. */
const PM2_KILL_TIMEOUT_MS = 1_600;

/**
 * From the signal to SIGKILL. PM2 is who kills, also where the supervisor asks for it, by the time that it was started
 * with; it puts that into the environment of the process. Without PM2, what the supervisor has said.
 */
export function killTimeoutMs(supervisorMs: number, env: Readonly<NodeJS.ProcessEnv>): number {
  if (env['pm_id'] === undefined) return supervisorMs;
  const pm2Ms = Number(env['kill_timeout']);
  return pm2Ms > 0 ? pm2Ms : PM2_KILL_TIMEOUT_MS;
}
