/** What is known of the caller of a request. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

const PRIVATE = new WeakSet<Socket>();
const AUTHENTICATED = new WeakSet<IncomingMessage>();

/** Remembers that a connection came over the private socket, which only this user and root can open. */
export function markPrivate(socket: Socket): void {
  PRIVATE.add(socket);
}

/** Remembers that a request showed the token, or a session. */
export function markAuthenticated(request: IncomingMessage): void {
  AUTHENTICATED.add(request);
}

/** Whether a request came over the private socket: from a program of this user, or of root. */
export function isPrivate(request: IncomingMessage): boolean {
  return PRIVATE.has(request.socket);
}

/** Whether a request came over the private socket, or showed the token or a session. */
export function isTrusted(request: IncomingMessage): boolean {
  return isPrivate(request) || AUTHENTICATED.has(request);
}
