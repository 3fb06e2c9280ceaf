/**
 * Which clients may see the gateway's inside (`/lb`, `/lb/status`, `/metrics`): those on this machine, unless these need the
 * token, too (lbTokenOnLoopback), and those that show the token. What a client is, is told by the peer address of its
 * connection, never by a header; and three things that look like a local client are none:
 *
 * - a request that a proxy on this machine forwards for somebody else: it carries forwarding fields;
 * - a browser here that a hostile page made ask (DNS rebinding): it carries the page's Host, a foreign name;
 * - a page of another origin that asks from a browser here: the answers carry no CORS fields, so it can't read them. A
 *   call that changes something is refused when a page of another origin made the browser send it (Origin,
 *   Sec-Fetch-Site), with the token, too: browsers send a password along by themselves.
 *
 * The token comes as `Authorization: Bearer …`, or, because browsers can't be told to send that, as the password of
 * HTTP basic authentication with any user name. The right one is accepted at once, whatever else comes from its
 * address; the refusal of a wrong one is held back (workerPages.ts), as by the supervisor's API (lib/tokenCheck.ts).
 */
import { isIP } from 'node:net';
import { isPassedOn, type Peer } from '../shared/forwarded.js';
import type { RequestHead } from '../http1/requestHead.js';
import { isLoopbackAddress } from '../../domain/network/network.js';
import { TokenCheck } from '../../lib/tokenCheck.js';

export interface Visitor {
  /** Address of the client's connection. */
  readonly peerAddress: string;
  readonly host: string | undefined;
  readonly authorization: string | undefined;
  /** Whether the request carries forwarding fields: a proxy passed it on. */
  readonly forwarded: boolean;
  /** null: it only reads. Otherwise what a browser says of the page that sends it. */
  readonly change: { readonly origin: string | null; readonly fetchSite: string | null } | null;
}

export type Verdict =
  | { readonly allowed: true }
  | {
      readonly allowed: false;
      readonly status: 401 | 403;
      readonly code: 'page.local-only' | 'auth.required' | 'auth.invalid' | 'origin.foreign';
      readonly message: string;
    };

export interface AccessOptions {
  /** HA_API_TOKEN; null or empty: none, so only clients on this machine may look. */
  readonly token: string | null;
  /** Clients on this machine need it, too. Default: they do not. */
  readonly tokenOnLoopback?: boolean;
}

const ALLOWED: Verdict = { allowed: true };
const BEARER = /^Bearer +([\x21-\x7e]{1,1024})$/i;
const BASIC = /^Basic +([A-Za-z0-9+/=]{1,2048})$/i;

/** @returns the judge of one process. */
export function createAccessRule(options: AccessOptions): (visitor: Visitor) => Verdict {
  const { token, tokenOnLoopback = false } = options;
  const check = token === null || token === '' ? null : new TokenCheck(token);
  return (visitor) => {
    if (isForeign(visitor)) return FOREIGN_ORIGIN;
    if (!tokenOnLoopback && isLocal(visitor)) return ALLOWED;
    if (check === null) return LOCAL_ONLY;
    const shown = tokenOf(visitor.authorization);
    if (shown === null) return TOKEN_NEEDED;
    return check.isRight(shown) ? ALLOWED : TOKEN_WRONG;
  };
}

const LOCAL_ONLY: Verdict = {
  allowed: false,
  status: 403,
  code: 'page.local-only',
  message:
    'This page is for clients on the machine of the gateway. Set HA_API_TOKEN to look at it from elsewhere.',
};

const FOREIGN_ORIGIN: Verdict = {
  allowed: false,
  status: 403,
  code: 'origin.foreign',
  message: 'A page of another origin sent this call. Only pages of this gateway, and programs, may send it.',
};

const TOKEN_NEEDED: Verdict = {
  allowed: false,
  status: 401,
  code: 'auth.required',
  message:
    'This page needs the token from elsewhere than the machine of the gateway: send "Authorization: Bearer <HA_API_TOKEN>", or give it as the password.',
};

const TOKEN_WRONG: Verdict = {
  allowed: false,
  status: 401,
  code: 'auth.invalid',
  message: 'The token is not the one in HA_API_TOKEN.',
};

/** Programs send neither field; browsers send Origin with every call that changes something. */
function isForeign({ change, host }: Visitor): boolean {
  if (change === null) return false;
  const { origin, fetchSite } = change;
  if (fetchSite !== null && fetchSite !== 'same-origin' && fetchSite !== 'none') return true;
  if (origin === null) return false;
  return origin.toLowerCase().replace(/^https?:\/\//, '') !== host?.toLowerCase();
}

/** Whether the request is one of a client on this machine: that may see the gateway's inside without a token. */
export function isFromHere({ address }: Pick<Peer, 'address'>, head: RequestHead): boolean {
  return isLocal({ peerAddress: address, host: head.host, forwarded: isPassedOn(head) });
}

function isLocal({
  peerAddress,
  host,
  forwarded,
}: Pick<Visitor, 'peerAddress' | 'host' | 'forwarded'>): boolean {
  return isLoopbackAddress(peerAddress) && !forwarded && host !== undefined && isOwnName(host);
}

/** No name that somebody else could make point here: an address, or localhost. */
function isOwnName(host: string): boolean {
  const name = host
    .toLowerCase()
    .replace(/:\d*$/, '')
    .replace(/^\[|\]$/g, '');
  return name === 'localhost' || name.endsWith('.localhost') || isIP(name) !== 0;
}

function tokenOf(authorization: string | undefined): string | null {
  if (authorization === undefined) return null;
  const bearer = BEARER.exec(authorization)?.[1];
  if (bearer !== undefined) return bearer;
  const basic = BASIC.exec(authorization)?.[1];
  if (basic === undefined) return null;
  const pair = Buffer.from(basic, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  return colon === -1 ? null : pair.slice(colon + 1);
}
