/**
 * Names of the cookie of a browser session of the control API. Browsers send a cookie to every port of a host, so the
 * gateway takes these away from what it forwards: an application has no use for an operator's session.
 */
export const API_SESSION_COOKIE = 'holdfast_session';
/** Over TLS: a browser takes a cookie of this name only with Secure, for this very host and for every path. */
export const API_SESSION_COOKIE_TLS = `__Host-${API_SESSION_COOKIE}`;
export const API_SESSION_COOKIES: readonly string[] = [API_SESSION_COOKIE, API_SESSION_COOKIE_TLS];

/** The value of a Cookie field without these cookies; '' when there is no other. The others stay as they are written. */
export function withoutApiCookies(field: string): string {
  if (!field.includes(API_SESSION_COOKIE)) return field;
  const others = field.split(';').filter((pair) => {
    const [name = ''] = pair.split('=', 1);
    return !API_SESSION_COOKIES.includes(name.trim());
  });
  return others.join(';').trim();
}
