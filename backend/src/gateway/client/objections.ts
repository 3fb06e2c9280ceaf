/** What speaks against a well-formed request before anything is tried for it. */
import type { GatewayContext } from '../shared/context.js';
import { refusal, type Refusal } from '../http1/refusal.js';
import type { RequestHead } from '../http1/requestHead.js';

export const NO_ROUTE: Refusal = {
  status: 404,
  code: 'route.none',
  message: 'No route leads from this host and path to a service.',
};

/** Counts the request against its client's allowance. @returns null: nothing does. */
export function objectionTo(
  head: RequestHead,
  clientAddress: string,
  context: GatewayContext,
): Refusal | null {
  const { limits, viaName } = context;
  if (!context.admits(clientAddress)) {
    return refusal(429, 'limit.requests', 'Too many requests from this address; slow down.');
  }
  if (head.bodyLength > limits.maxBodyBytes) {
    const message = `The request's body is larger than ${limits.maxBodyBytes} bytes.`;
    return refusal(413, 'body.too-large', message);
  }
  if (head.method === 'TRACE') {
    return refusal(405, 'method.not-allowed', 'TRACE shows credentials to scripts; it is off.');
  }
  if (head.via !== null && passedThrough(head.via, viaName)) {
    const message = 'The request came back to the gateway it left: an upstream points to the gateway itself.';
    return refusal(508, 'route.loop', message);
  }
  return null;
}

/** Whether one of the entries of Via is by that name: `1.1 name (comment), 2.0 other` (RFC 9110 section 7.6.3). */
function passedThrough(via: string, name: string): boolean {
  return via.includes(name) && via.split(',').some((entry) => entry.trim().split(/[ \t]+/)[1] === name);
}
