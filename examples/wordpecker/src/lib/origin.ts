/**
 * What a browser can be made to send by a page that is not ours. Programs that are no browsers send neither Origin nor
 * Sec-Fetch-Site, and pass.
 */
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { isLoopback } from './clientIp.js';

const USUAL_PORTS: Readonly<Record<string, string>> = { http: '80', https: '443', ws: '80', wss: '443' };

/** True when a page of another origin made a browser send the request; another port of this machine is another origin. */
export function isCrossSite(request: IncomingMessage): boolean {
  const site = request.headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true;
  const { origin } = request.headers;
  if (origin === undefined) return false;
  const [, scheme = '', from = ''] = /^([a-z]+):\/\/([^/]+)$/i.exec(origin) ?? [];
  const usual = `:${USUAL_PORTS[scheme.toLowerCase()] ?? ''}`;
  const plain = (host: string): string => host.toLowerCase().replace(new RegExp(`${usual}$`), '');
  return from === '' || !hostsOf(request).some((host) => plain(host) === plain(from));
}

/**
 * True when the request is for this machine by an address, or as localhost. Any other name may be one that a hostile page
 * has made to lead here (DNS rebinding).
 */
export function isForThisMachine(request: IncomingMessage): boolean {
  return hostsOf(request).every((host) => {
    const name = host.replace(/:\d*$/, '').replace(/^\[|\]$/g, '');
    return /^(?:.+\.)?localhost$/i.test(name) || isIP(name) !== 0;
  });
}

/** The host of the target, which goes before the Host field (RFC 9112, 3.2.2), and the one that a proxy here passed on. */
function hostsOf(request: IncomingMessage & { readonly originalUrl?: string }): readonly string[] {
  const { host = '', 'x-forwarded-host': forwarded } = request.headers;
  const target = request.originalUrl ?? request.url ?? '';
  const named = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(target)?.[1] ?? host;
  const isProxied = typeof forwarded === 'string' && isLoopback(request.socket.remoteAddress);
  return isProxied ? [forwarded, named] : [named];
}
