/**
 * Which pool a request belongs to: the most specific host first (exact, then the longest wildcard, then any), within
 * it the longest path prefix. Prefixes match whole segments: `/api` is `/api` and `/api/…`, never `/apis`.
 */
import type { RouteSnapshot } from '../domain/pool.js';

export interface RouteTable {
  /** @param host as in the Host field. @param path without the query. */
  match(host: string, path: string): string | null;
}

interface HostRoutes {
  /** Longest prefix first. */
  readonly routes: readonly RouteSnapshot[];
}

export function compileRoutes(routes: readonly RouteSnapshot[]): RouteTable {
  const byHost = new Map<string | null, HostRoutes>();
  for (const host of new Set(routes.map((route) => route.host))) {
    const own = routes.filter((route) => route.host === host);
    byHost.set(host, { routes: own.toSorted((a, b) => b.pathPrefix.length - a.pathPrefix.length) });
  }
  const anyHost = byHost.get(null);
  const only = byHost.size === 1 && anyHost !== undefined;
  return {
    match: (host, path) => {
      if (only) return matchPath(anyHost, path);
      for (const candidate of candidates(host)) {
        const pool = matchPath(byHost.get(candidate), path);
        if (pool !== null) return pool;
      }
      return matchPath(anyHost, path);
    },
  };
}

/** `a.b.c` → `a.b.c`, `*.b.c`, `*.c`. */
function candidates(host: string): string[] {
  const name = host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '');
  const result = [name];
  for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1))
    result.push(`*${name.slice(dot)}`);
  return result;
}

function matchPath(host: HostRoutes | undefined, path: string): string | null {
  if (host === undefined) return null;
  for (const { pathPrefix, pool } of host.routes) {
    if (pathPrefix === '/' || path === pathPrefix) return pool;
    if (
      path.startsWith(pathPrefix) &&
      (pathPrefix.endsWith('/') || path.charCodeAt(pathPrefix.length) === 0x2f)
    )
      return pool;
  }
  return null;
}
