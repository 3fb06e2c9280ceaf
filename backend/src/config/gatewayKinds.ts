/** Kinds of value that only the gateway's settings have. */
import { z } from 'zod';

import { ipVersion, isAddressRange } from '../domain/network/ipAddress.js';
import { parseMember, parseMembers, type Member } from '../domain/upstreams/members.js';
import type { RouteSnapshot } from '../domain/upstreams/pool.js';
import { routeProblems } from '../domain/upstreams/routing.js';
import { algorithms } from '../domain/balancing/registry.js';
import { choice, matching, type Kind } from './kinds.js';
import { spelt, type Spellings } from './spellings.js';

const LONGEST_LIST_CHARACTERS = 65_536;

const formatMember = ({ id, weight }: Member): string => (weight === 1 ? id : `${id};weight=${weight}`);

/** Reads text by `parse`, which says null where it is refused. */
function reading<T>(parse: (text: string) => T | null): z.ZodType<T> {
  const read = (value: unknown): unknown =>
    typeof value === 'string' && value.length <= LONGEST_LIST_CHARACTERS ? parse(value) : null;
  return z.preprocess(
    read,
    z.custom<T>((value) => value !== null),
  );
}

/** Upstreams, `host:port[;weight=N]` separated by commas. */
export function memberList(): Kind<readonly Member[]> {
  return {
    schema: reading((text) => {
      const result = parseMembers(text);
      return result.ok ? result.members : null;
    }),
    allowed: 'host:port entries separated by commas, each with ;weight=1 to 1000 if wanted',
    explain: (value) => {
      const result = parseMembers(String(value));
      return result.ok ? null : result.problems.join('; ');
    },
    unit: null,
    format: (members) => members.map(formatMember).join(', '),
  };
}

/** The name of a service goes on to the end; in double quotes it may have commas, and is JSON. */
const ROUTE = /^([^/=\s]*)(\/[^=\s]*)\s*=\s*("(?:[^"\\]|\\.)*"|[^"].*)$/;
const ROUTE_PARTS = /=\s*"(?:[^"\\]|\\.)*"|,|=|[^,=]+/g;

function parseRoutes(text: string): { routes: RouteSnapshot[]; problems: string[] } {
  const routes: RouteSnapshot[] = [];
  const problems: string[] = [];
  for (const entry of routeEntries(text)) {
    const [, host = '', pathPrefix = '', name = ''] = ROUTE.exec(entry) ?? [];
    const pool = poolNameOf(name);
    if (pool === '') problems.push(`${JSON.stringify(entry)} is not [host]/path=service`);
    else routes.push({ host: host === '' ? null : host.toLowerCase(), pathPrefix, pool });
  }
  return {
    routes,
    problems: [...problems, ...routeProblems(routes, new Set(routes.map(({ pool }) => pool)))],
  };
}

/** Between commas, but for those in a name in double quotes. */
function routeEntries(text: string): readonly string[] {
  const entries = [''];
  for (const [part] of text.matchAll(ROUTE_PARTS)) {
    if (part === ',') entries.push('');
    else entries.push(`${entries.pop() ?? ''}${part}`);
  }
  return entries.map((entry) => entry.trim());
}

function poolNameOf(text: string): string {
  if (!text.startsWith('"')) return text.trim();
  try {
    return JSON.parse(text) as string;
  } catch {
    return '';
  }
}

function shownPool(name: string): string {
  return /[,]|^["\s]|\s$/.test(name) ? JSON.stringify(name) : name;
}

/** Routes, `[host]/path=service` separated by commas. */
export function routeList(): Kind<readonly RouteSnapshot[]> {
  return {
    schema: reading((text) => {
      const { routes, problems } = parseRoutes(text);
      return problems.length === 0 ? routes : null;
    }),
    allowed: 'entries such as /=shop, /ui=web or *.example.org/api=api, separated by commas',
    explain: (value) => parseRoutes(String(value)).problems.join('; ') || null,
    unit: null,
    format: (routes) =>
      routes.map(({ host, pathPrefix, pool }) => `${host ?? ''}${pathPrefix}=${shownPool(pool)}`).join(', '),
  };
}

function list(text: string): string[] {
  return text.split(',').map((part) => part.trim());
}

/** IP addresses and ranges separated by commas. */
export function addressRanges(): Kind<readonly string[]> {
  return {
    schema: reading((text) => (list(text).every(isAddressRange) ? list(text) : null)),
    allowed: 'IP addresses or ranges such as 10.0.0.0/8, separated by commas',
    explain: (value) => {
      const wrong = list(String(value)).filter((entry) => !isAddressRange(entry));
      return wrong.length === 0 ? null : `${wrong.map((entry) => JSON.stringify(entry)).join(', ')} is none`;
    },
    unit: null,
    format: (ranges) => ranges.join(', '),
  };
}

/** An address, or address:port with IPv6 in brackets: what `Resolver.setServers` takes. */
function isDnsServer(text: string): boolean {
  const read = parseMember(text);
  return ipVersion(text) !== 0 || (typeof read !== 'string' && ipVersion(read.host) !== 0);
}

export function dnsServers(): Kind<readonly string[]> {
  return {
    schema: reading((text) => (list(text).every(isDnsServer) ? list(text) : null)),
    allowed: 'IP addresses, each with :port if wanted, separated by commas',
    unit: null,
    format: (servers) => servers.join(', '),
  };
}

const SHORTEST_KEY_CHARACTERS = 16;

/** Keys separated by commas. Never shown, so not explained either. */
export function keyList(): Kind<readonly string[]> {
  return {
    schema: reading((text) =>
      list(text).every(({ length }) => length >= SHORTEST_KEY_CHARACTERS) ? list(text) : null,
    ),
    allowed: `keys of at least ${SHORTEST_KEY_CHARACTERS} characters, separated by commas, the newest first`,
    unit: null,
    format: (keys) => keys.join(', '),
  };
}

/** What other balancers call our algorithms. */
const ALGORITHM_SPELLINGS: Spellings = {
  'round-robin': ['rr'],
  'weighted-round-robin': ['weighted', 'wrr', 'swrr', 'smooth-weighted-round-robin'],
  'least-connections': [
    'least-conn',
    'least-connection',
    'least-conns',
    'lc',
    'wlc',
    'leastRequest',
    'weighted-least-connections',
  ],
  p2c: ['power-of-two', 'power-of-two-choices', 'two-random-choices'],
  'consistent-hash': ['hash', 'ring-hash', 'consistent', 'consistent-hashing'],
  'ip-hash': ['source', 'source-ip', 'source-hash', 'client-ip', 'ip'],
  random: ['rand'],
};

/** A balancing algorithm: `round-robin`, but also `round_robin`, `ROUND-ROBIN` and `rr`. */
export function algorithmName(): Kind<string> {
  const [first = '', ...others] = algorithms.keys();
  const own = Object.fromEntries(
    [...algorithms.keys()].map((name) => [name, ALGORITHM_SPELLINGS[name] ?? []]),
  );
  return spelt(choice([first, ...others]), own);
}

/** Fields of one hop: nothing of them reaches an upstream, so no request has one to be hashed. */
const ONE_HOP = [
  'connection',
  'expect',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];
/** Names that have a value when they are written like this. With an underscore they are taken out of requests. */
const NOT_WITH_UNDERSCORES = [
  'content-length',
  'max-forwards',
  'x-forwarded-.+',
  'x-real-ip',
  'x-request-id',
];

/** In any case, with hyphens or underscores. */
function alike(names: readonly string[]): string {
  return names
    .join('|')
    .replace(/[a-z]/g, (letter) => `[${letter}${letter.toUpperCase()}]`)
    .replaceAll('-', '[-_]');
}

/** What a consistent hash is made of. */
export function hashKey(): Kind<string> {
  return matching(
    new RegExp(
      `^(?!header:(?:${alike(ONE_HOP)})$)(?!header:(?=[^_]*_)(?:${alike(NOT_WITH_UNDERSCORES)})$)` +
        `(ip|path|(header|cookie):[!#$%&'*+.^_\`|~0-9A-Za-z-]+)$`,
    ),
    'ip, path, header:<name> or cookie:<name>',
  );
}

/** RFC 6265: a token. */
export function cookieName(): Kind<string> {
  return matching(
    /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/,
    'a cookie name: letters, digits and signs such as _ and -',
  );
}
