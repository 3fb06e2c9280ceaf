/** What `consistent-hash` keys on: the pool's `hashOn`. */
import { hashAddress, hashText } from '../../domain/balancing/hash.js';
import type { Peer } from '../shared/forwarded.js';
import { valueOf } from '../http1/fields.js';
import type { RequestHead } from '../http1/requestHead.js';
import type { Pool } from '../upstreams/pool.js';
import { cookieValue } from '../upstreams/sticky.js';

/** What the pool's algorithm keys a request on, hashed; 0 where it keys on nothing, or on what the request has not. */
export function hashFor(
  { algorithm, snapshot }: Pool,
  head: RequestHead,
  peer: Peer,
  clientAddress: string,
): number {
  if (algorithm.keyedBy === 'client-ip') return hashAddress(clientAddress);
  const key =
    algorithm.keyedBy === 'configured' ? hashKeyOf(snapshot.hashOn, head, peer, clientAddress) : null;
  return key === null ? 0 : hashText(key);
}

/** The text to hash for `hashOn` (`ip`, `path`, `header:<name>`, `cookie:<name>`), or null when it is not there. */
export function hashKeyOf(
  hashOn: string,
  head: RequestHead,
  peer: Peer,
  clientAddress: string,
): string | null {
  if (hashOn === 'ip') return clientAddress;
  if (hashOn === 'path') return pathOf(head.target);
  const colon = hashOn.indexOf(':');
  const name = hashOn.slice(colon + 1);
  if (hashOn.startsWith('header:')) return fieldOf(name.toLowerCase(), head, peer, clientAddress);
  if (hashOn.startsWith('cookie:')) return head.cookie === null ? null : cookieValue(head.cookie, name);
  return null;
}

/**
 * The value of a request's field, or null. What the gateway takes out of the head and writes itself has the value that
 * upstreams are told: a client that is not believed can't choose its upstream by X-Forwarded-For.
 */
function fieldOf(name: string, head: RequestHead, peer: Peer, clientAddress: string): string | null {
  switch (name) {
    case 'host':
      return head.host;
    case 'cookie':
      return head.cookie;
    case 'x-forwarded-for':
      return peer.trusted ? (head.forwardedFor ?? peer.address) : peer.address;
    case 'x-real-ip':
      return clientAddress;
    case 'x-forwarded-proto':
      return peer.isSecure(head) ? 'https' : 'http';
    case 'x-forwarded-host':
      return peer.originalHost(head, head.host);
    case 'forwarded':
      return peer.trusted ? head.forwarded : null;
    case 'x-request-id':
      return peer.trusted ? head.requestId : null;
    case 'traceparent':
      return head.traceparent;
    case 'max-forwards':
      return head.maxForwards;
    case 'content-length':
      return head.hasContentLength ? String(head.bodyLength) : null;
    default:
      return valueOf(
        name.startsWith('x-forwarded-') && peer.trusted ? head.forwardedOther : head.lines,
        name,
      );
  }
}

/** A target without its query. */
export function pathOf(target: string): string {
  const at = target.indexOf('?');
  return at === -1 ? target : target.slice(0, at);
}
