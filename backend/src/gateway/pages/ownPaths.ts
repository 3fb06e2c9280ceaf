/** The paths that are the gateway's own. Everything else belongs to the application. */

/** Begins the figures for people anew. Not to be read: it takes POST. */
export const RESET_PATH = '/lb/reset';

/** Answered by the primary, which knows everything. */
const PRIMARY_PATHS = ['/lb', '/lb/status', RESET_PATH, '/metrics', '/status.html'] as const;
export type PrimaryPath = (typeof PRIMARY_PATHS)[number];

/** Where the upstreams of a pool are listed, and changed by POST (primary/upstreamCalls.ts). */
const CALL_PATHS = [
  '/lb/upstreams',
  '/lb/upstreams/change',
  '/lb/upstreams/drain',
  '/lb/upstreams/undrain',
  '/lb/upstreams/remove',
] as const;
export type CallPath = (typeof CALL_PATHS)[number];

const callPaths: ReadonlySet<string> = new Set(CALL_PATHS);
const primaryPaths: ReadonlySet<string> = new Set(PRIMARY_PATHS);
/** The others a worker answers from what it knows itself. */
const ownPaths: ReadonlySet<string> = new Set(['/health', '/api/client-ip', ...PRIMARY_PATHS, ...CALL_PATHS]);

export function isPrimaryPath(path: string): path is PrimaryPath {
  return primaryPaths.has(path);
}

export function isCallPath(path: string): path is CallPath {
  return callPaths.has(path);
}

/** @param path without the query. */
export function isOwnPath(path: string): boolean {
  return ownPaths.has(path);
}
