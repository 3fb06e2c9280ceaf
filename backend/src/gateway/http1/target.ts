/** Hosts and request targets (RFC 9112 section 3.2, RFC 3986 section 3.2). */

const HOST = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=%]+|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?$/;
const ABSOLUTE = /^(https?):\/\/([^/?]*)(.*)$/i;

// Nearly every request names the host that the one before it named.
let lastValid = '';

/** `name`, `name:port`, `[v6]` or `[v6]:port`. */
export function isValidHost(host: string): boolean {
  if (host === lastValid) return host !== '';
  if (host.length > 300 || !HOST.test(host)) return false;
  lastValid = host;
  return true;
}

export interface AbsoluteTarget {
  readonly scheme: 'http' | 'https';
  readonly host: string;
  /** With the query; `*` for an OPTIONS that names the server as a whole (RFC 9112 section 3.2.4). */
  readonly path: string;
}

/** The parts of an absolute-form target; null when it is none (other schemes, user information, no host). */
export function splitAbsoluteTarget(target: string, method: string): AbsoluteTarget | null {
  const match = ABSOLUTE.exec(target);
  const host = match?.[2];
  const rest = match?.[3];
  if (host === undefined || rest === undefined || !isValidHost(host)) return null;
  const scheme = match?.[1]?.toLowerCase() === 'https' ? 'https' : 'http';
  if (rest === '' && method === 'OPTIONS') return { scheme, host, path: '*' };
  return { scheme, host, path: rest.startsWith('/') ? rest : `/${rest}` };
}

/** Whether two hosts are one: case makes no difference, nor does the scheme's own port (RFC 9110 section 4.2.3). */
export function isSameHost(one: string, other: string, scheme: 'http' | 'https'): boolean {
  if (one === other) return true;
  const ownPort = scheme === 'https' ? /:(?:443)?$/ : /:(?:80)?$/;
  return one.toLowerCase().replace(ownPort, '') === other.toLowerCase().replace(ownPort, '');
}
