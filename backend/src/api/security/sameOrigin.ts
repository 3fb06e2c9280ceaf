/**
 * Who may talk to this API through somebody's browser: only pages of this API itself.
 *
 * - DNS rebinding: a hostile page's name is made to resolve to 127.0.0.1. Its requests then carry a foreign
 *   `Host`, so `Host` must be a name that is ours. On a wildcard bind any IP literal is ours too: rebinding
 *   needs a name.
 * - CSRF: a hostile page, or another service on another port of this machine, sends a request blindly. It
 *   carries a foreign `Origin`, or `Sec-Fetch-Site` says so.
 *
 * Programs that are no browsers send neither Origin nor Sec-Fetch-Site and pass.
 */
import { hostname as machineName } from 'node:os';
import { isIP, isIPv4 } from 'node:net';
import type { Request, RequestHandler } from 'express';
import { HoldfastError } from '../../domain/errors.js';
import { isPrivate } from './callers.js';

const AUTHORITY = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?$/i;
const ORIGIN = /^(https?):\/\/(.+)$/i;
const WILDCARDS = new Set(['0.0.0.0', '::']);

interface Authority {
  /** Lower case, without brackets and final dot. */
  readonly name: string;
  readonly port: number | null;
}

export interface OriginFacts {
  readonly method: string;
  readonly hosts: readonly string[];
  readonly origin: string | undefined;
  readonly fetchSite: string | undefined;
  readonly fetchMode: string | undefined;
}

/** Whether binding to `host` keeps the API on this machine. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase();
  return name === 'localhost' || name === '::1' || (isIPv4(name) && name.startsWith('127.'));
}

/** Middleware that refuses with 400 `host.missing`, 403 `host.foreign` or 403 `origin.foreign`. */
export function sameOriginOnly(bindHost: string, allowedHosts: readonly string[]): RequestHandler {
  const judge = createOriginJudge(bindHost, allowedHosts);
  return (request, _response, next) => {
    // No browser can be made to open it.
    if (isPrivate(request)) {
      next();
      return;
    }
    const refusal = judge({
      method: request.method,
      hosts: hostsOf(request),
      origin: request.headers.origin,
      fetchSite: request.get('sec-fetch-site'),
      fetchMode: request.get('sec-fetch-mode'),
    });
    next(refusal ?? undefined);
  };
}

/** A target that names a host overrules the Host field (RFC 9112, section 3.2.2). */
function hostsOf({ originalUrl, headersDistinct }: Request): readonly string[] {
  const hosts = headersDistinct['host'] ?? [];
  if (originalUrl.startsWith('/')) return hosts;
  const named = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(originalUrl)?.[1];
  return named === undefined ? hosts : [named];
}

/** The rule itself: null when the request may go on. */
export function createOriginJudge(
  bindHost: string,
  allowedHosts: readonly string[],
): (facts: OriginFacts) => HoldfastError | null {
  const configured = new Set(allowedHosts.map((each) => each.toLowerCase()));
  const isOurs = createHostRule(bindHost, configured);
  return ({ method, hosts, origin, fetchSite, fetchMode }) => {
    const [only, ...others] = hosts;
    if (only === undefined || others.length > 0) {
      return new HoldfastError('host.missing', 'The request needs exactly one Host header.', { status: 400 });
    }
    const host = parseAuthority(only);
    if (host === null || !isOurs(host.name)) {
      return new HoldfastError(
        'host.foreign',
        'The Host of this request is not a name of this API. Address it by the host it is bound to, or add the name to haAllowedHosts (HA_ALLOWED_HOSTS).',
        { status: 403 },
      );
    }
    if (origin !== undefined && !isSameOrigin(origin, host, configured)) return foreignOrigin();
    if (isForeignSite(method, fetchSite, fetchMode)) return foreignOrigin();
    return null;
  };
}

function createHostRule(bindHost: string, configured: ReadonlySet<string>): (name: string) => boolean {
  const bound = bindHost.toLowerCase();
  const wildcard = WILDCARDS.has(bound);
  const machine = machineName().toLowerCase();
  return (name) =>
    isLoopback(name) ||
    name === bound ||
    configured.has(name) ||
    (wildcard && (isIP(name) !== 0 || name === machine));
}

/**
 * Same name and port as the Host; another port of this machine is another origin. Behind a proxy that rewrites
 * Host, the public name is one of the configured ones.
 */
function isSameOrigin(origin: string, host: Authority, configured: ReadonlySet<string>): boolean {
  const [, scheme, rest] = ORIGIN.exec(origin) ?? [];
  const from = rest === undefined ? null : parseAuthority(rest);
  if (from === null) return false;
  if (configured.has(from.name)) return true;
  const usualPort = scheme?.toLowerCase() === 'https' ? 443 : 80;
  return from.name === host.name && (from.port ?? usualPort) === (host.port ?? usualPort);
}

/** Following a link here is fine; anything else that a page of another origin makes a browser do is not. */
function isForeignSite(method: string, site: string | undefined, mode: string | undefined): boolean {
  if (site === undefined || site === 'same-origin' || site === 'none') return false;
  const reads = method === 'GET' || method === 'HEAD';
  return !(reads && mode === 'navigate');
}

function foreignOrigin(): HoldfastError {
  return new HoldfastError(
    'origin.foreign',
    'This request was made by a page of another origin; only pages served from here may call this API.',
    { status: 403 },
  );
}

function parseAuthority(text: string): Authority | null {
  const [, rawName, port] = AUTHORITY.exec(text) ?? [];
  if (rawName === undefined) return null;
  const name = rawName
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '');
  return { name, port: port === undefined ? null : Number(port) };
}
