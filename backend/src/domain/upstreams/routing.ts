/**
 * Which pool a request belongs to, by host and path.
 *
 * The most specific host goes first: the exact name, then wildcards (`*.example.org` is any name below example.org, at
 * any depth, not example.org itself) from the longest to the shortest, then routes for any host. Within a host the
 * longest prefix wins, in whole segments: `/api` is `/api` and `/api/…`, never `/apis`. Where a host's routes do not
 * match the path, the next less specific host's are asked.
 *
 * Paths are compared by what they mean, not by how they are spelt (RFC 3986, section 6.2.2): escapes of letters, digits
 * and `-._~` are decoded, `.` and `..` segments resolved (never above the root), several slashes count as one. So
 * `/public/%2e%2e/admin` and `//admin` belong where `/admin` belongs, as the application behind will read them, and no
 * spelling gets a request for one pool's paths into another pool. An escaped slash (`%2F`) or a backslash is data: it
 * separates nothing. Case counts in paths, not in hosts. Only the comparison uses this form; what is forwarded is what
 * was sent. A route says which pool, it is no access control: the application decides who may see `/admin`.
 */
import type { RouteSnapshot } from './pool.js';

export interface RouteTable {
  /**
   * @param host as in the Host field: with or without a port, a trailing dot, in any case.
   * @param target the request target; a query is left out of account, what is no path (`*`) counts as `/`.
   * @returns the name of the pool, or null when no route matches.
   */
  match(host: string, target: string): string | null;
}

/** Of one host: pool by prefix without its trailing slash, '' for everything. */
interface HostRoutes {
  readonly pools: ReadonlyMap<string, string>;
  /** No prefix is longer, in characters: what is beyond can't matter. */
  readonly longest: number;
}

const MOST_ROUTES = 10_000;
const LONGEST_PREFIX = 1_024;
const ANY_HOST = '*';

/**
 * @param routes valid ones (`routeProblems` says); of two with the same host and prefix the first counts. More than 10 000
 * are left out.
 */
export function compileRoutes(routes: readonly RouteSnapshot[]): RouteTable {
  const byHost = new Map<string, { pools: Map<string, string>; longest: number }>();
  for (const { host, pathPrefix, pool } of routes.slice(0, MOST_ROUTES)) {
    const name = host === null ? ANY_HOST : normaliseHost(host);
    const entry = byHost.get(name) ?? { pools: new Map<string, string>(), longest: 0 };
    const prefix = withoutTrailingSlash(normalisePath(pathPrefix));
    if (!entry.pools.has(prefix)) entry.pools.set(prefix, pool);
    entry.longest = Math.max(entry.longest, prefix.length);
    byHost.set(name, entry);
  }
  return { match: (host, target) => match(byHost, host, target) };
}

function match(byHost: ReadonlyMap<string, HostRoutes>, host: string, target: string): string | null {
  const path = normalisePath(target);
  // Most gateways route by path only: nothing to be found out about the host then.
  const any = byHost.get(ANY_HOST);
  if (any === undefined || byHost.size > 1) {
    const name = normaliseHost(host);
    const pool = matchPath(byHost.get(name), path);
    if (pool !== null) return pool;
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      const found = matchPath(byHost.get(`*${name.slice(dot)}`), path);
      if (found !== null) return found;
    }
  }
  return matchPath(any, path);
}

/** Looks up the path, then what is left of it before its last slash, and so on. */
function matchPath(routes: HostRoutes | undefined, path: string): string | null {
  if (routes === undefined) return null;
  let prefix = withoutTrailingSlash(path);
  if (prefix.length > routes.longest) {
    // A prefix must end where a segment ends.
    const end = prefix.charCodeAt(routes.longest) === SLASH ? routes.longest : -1;
    prefix = end >= 0 ? prefix.slice(0, end) : upToLastSlash(prefix.slice(0, routes.longest));
  }
  for (;;) {
    const pool = routes.pools.get(prefix);
    if (pool !== undefined) return pool;
    if (prefix === '') return null;
    prefix = upToLastSlash(prefix);
  }
}

const SLASH = 0x2f;
const upToLastSlash = (path: string): string => path.slice(0, Math.max(path.lastIndexOf('/'), 0));
const withoutTrailingSlash = (path: string): string => (path.endsWith('/') ? path.slice(0, -1) : path);

/** Lower case, without port and trailing dot; IPv6 literals keep their brackets. */
export function normaliseHost(host: string): string {
  const portAt = host.lastIndexOf(':');
  const isPort = portAt > host.lastIndexOf(']') && (host.startsWith('[') || host.indexOf(':') === portAt);
  const name = isPort ? host.slice(0, portAt) : host;
  return (name.endsWith('.') ? name.slice(0, -1) : name).toLowerCase();
}

/** Anything in a path that could be spelt otherwise. */
const MAY_DIFFER = /%|\/\/|\/\./;
const ESCAPE = /%([0-9a-f]{2})/gi;
const UNRESERVED = /[a-z0-9._~-]/i;

/** The path of a request target as its plainest spelling, see above. */
export function normalisePath(target: string): string {
  const end = target.search(/[?#]/);
  const path = end < 0 ? target : target.slice(0, end);
  if (!path.startsWith('/')) return '/';
  return MAY_DIFFER.test(path) ? resolveSegments(decodeUnreserved(path)) : path;
}

function decodeUnreserved(path: string): string {
  return path.replace(ESCAPE, (escape, hex: string) => {
    const character = String.fromCharCode(Number.parseInt(hex, 16));
    return UNRESERVED.test(character) ? character : escape.toUpperCase();
  });
}

function resolveSegments(path: string): string {
  const segments: string[] = [];
  const parts = path.split('/');
  for (const part of parts) {
    if (part === '..') segments.pop();
    else if (part !== '' && part !== '.') segments.push(part);
  }
  const last = parts.at(-1);
  const isDirectory = segments.length > 0 && (last === '' || last === '.' || last === '..');
  return `/${segments.join('/')}${isDirectory ? '/' : ''}`;
}

const HOST_NAME =
  /^(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$|^\[[0-9a-f:.]+\]$/i;

/** What is wrong with routes, one sentence each, for people; empty when nothing is. */
export function routeProblems(
  routes: readonly RouteSnapshot[],
  pools: ReadonlySet<string>,
): readonly string[] {
  const problems: string[] = [];
  const seen = new Set<string>();
  if (routes.length > MOST_ROUTES)
    problems.push(`there are ${routes.length} routes; at most ${MOST_ROUTES} are allowed`);
  for (const { host, pathPrefix, pool } of routes) {
    const name = `route ${host ?? ''}${pathPrefix}`;
    if (host !== null && (host.length > 253 || !HOST_NAME.test(host))) {
      problems.push(
        `${name}: the host must be a name such as shop.example.org or *.example.org, without a port`,
      );
    }
    if (!pathPrefix.startsWith('/') || pathPrefix.length > LONGEST_PREFIX || /[?#\s]/.test(pathPrefix)) {
      problems.push(
        `${name}: the path must begin with /, without query, at most ${LONGEST_PREFIX} characters`,
      );
    }
    if (!pools.has(pool)) problems.push(`${name}: there is no pool ${pool}`);
    const key = `${host === null ? ANY_HOST : normaliseHost(host)} ${withoutTrailingSlash(normalisePath(pathPrefix))}`;
    if (seen.has(key)) problems.push(`${name}: is there twice`);
    seen.add(key);
  }
  return problems;
}
