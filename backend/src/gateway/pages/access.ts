/**
 * Who may see the gateway's inside (`/lb`, `/lb/status`, `/metrics`): clients on this machine, and whoever shows the
 * token. What a client is, is told by the peer address of its connection, never by a header; and three things that
 * look like a local client are none:
 *
 * - a request that a proxy on this machine forwards for somebody else: it carries forwarding fields;
 * - a browser here that a hostile page made ask (DNS rebinding): it carries the page's Host, a foreign name;
 * - a page of another origin that asks from a browser here: the answers carry no CORS fields, so it can't read them.
 *
 * The token comes as `Authorization: Bearer …`, or, because browsers can't be told to send that, as the password of
 * HTTP basic authentication with any user name. It is compared in constant time.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP, isIPv4 } from 'node:net';

export interface Visitor {
  /** Address of the client's connection. */
  readonly peerAddress: string;
  readonly host: string | undefined;
  readonly authorization: string | undefined;
  /** Whether the request carries forwarding fields: a proxy passed it on. */
  readonly forwarded: boolean;
}

export type Verdict =
  | { readonly allowed: true }
  | { readonly allowed: false; readonly status: 401 | 403; readonly message: string };

const ALLOWED: Verdict = { allowed: true };
const BEARER = /^Bearer +([\x21-\x7e]{1,1024})$/i;
const BASIC = /^Basic +([A-Za-z0-9+/=]{1,2048})$/i;

/** @param token HA_API_TOKEN; null or empty: none, so only clients on this machine may look. */
export function createAccessRule(token: string | null): (visitor: Visitor) => Verdict {
  const expected = token === null || token === '' ? null : digest(token);
  return (visitor) => {
    if (isLocal(visitor)) return ALLOWED;
    const guess = tokenOf(visitor.authorization);
    if (expected !== null && guess !== null && timingSafeEqual(digest(guess), expected)) return ALLOWED;
    if (expected === null) {
      return {
        allowed: false,
        status: 403,
        message:
          'This page is for clients on the machine of the gateway. Set HA_API_TOKEN to look at it from elsewhere.',
      };
    }
    return {
      allowed: false,
      status: 401,
      message:
        guess === null
          ? 'This page needs the token from elsewhere than the machine of the gateway: send "Authorization: Bearer <HA_API_TOKEN>", or give it as the password.'
          : 'The token is not the one in HA_API_TOKEN.',
    };
  };
}

/** 127.0.0.0/8 and ::1, also as an IPv4-mapped IPv6 address. */
export function isLoopbackAddress(address: string): boolean {
  const plain = address.toLowerCase().startsWith('::ffff:') ? address.slice(7) : address;
  return plain === '::1' || (isIPv4(plain) && plain.startsWith('127.'));
}

function isLocal({ peerAddress, host, forwarded }: Visitor): boolean {
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

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
