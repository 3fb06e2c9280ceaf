/** What `consistent-hash` keys on: the pool's `hashOn`. */
import { hashAddress, hashText } from '../domain/balancing/hash.js';
import { valueOf } from './http1/fields.js';
import type { RequestHead } from './http1/requestHead.js';
import type { Pool } from './pool.js';
import { cookieValue } from './sticky.js';

/** What the pool's algorithm keys a request on, hashed; 0 where it keys on nothing, or on what the request has not. */
export function hashFor({ algorithm, snapshot }: Pool, head: RequestHead, clientAddress: string): number {
  if (algorithm.keyedBy === 'client-ip') return hashAddress(clientAddress);
  const key = algorithm.keyedBy === 'configured' ? hashKeyOf(snapshot.hashOn, head, clientAddress) : null;
  return key === null ? 0 : hashText(key);
}

/** The text to hash for `hashOn` (`ip`, `path`, `header:<name>`, `cookie:<name>`), or null when it is not there. */
export function hashKeyOf(hashOn: string, head: RequestHead, clientAddress: string): string | null {
  if (hashOn === 'ip') return clientAddress;
  if (hashOn === 'path') return pathOf(head.target);
  const colon = hashOn.indexOf(':');
  const name = hashOn.slice(colon + 1);
  if (hashOn.startsWith('header:'))
    return name.toLowerCase() === 'host' ? head.host : valueOf(head.lines, name.toLowerCase());
  if (hashOn.startsWith('cookie:')) return head.cookie === null ? null : cookieValue(head.cookie, name);
  return null;
}

/** A target without its query. */
export function pathOf(target: string): string {
  const at = target.indexOf('?');
  return at === -1 ? target : target.slice(0, at);
}
