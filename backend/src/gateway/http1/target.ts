/** Hosts and request targets (RFC 9112 section 3.2, RFC 3986 section 3.2). */

const HOST = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=%]+|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?$/;
const ABSOLUTE = /^https?:\/\/([^/?]*)(.*)$/i;

// Nearly every request names the host that the one before it named.
let lastValid = '';

/** `name`, `name:port`, `[v6]` or `[v6]:port`. */
export function isValidHost(host: string): boolean {
  if (host === lastValid) return host !== '';
  if (host.length > 300 || !HOST.test(host)) return false;
  lastValid = host;
  return true;
}

/** Host and path of an absolute-form target; null when it is none (other schemes, user information, no host). */
export function splitAbsoluteTarget(target: string): { readonly host: string; readonly path: string } | null {
  const match = ABSOLUTE.exec(target);
  const host = match?.[1];
  const rest = match?.[2];
  if (host === undefined || rest === undefined || !isValidHost(host)) return null;
  return { host, path: rest.startsWith('/') ? rest : `/${rest}` };
}
