/** Login for browsers: a page can't keep a bearer token safe, a cookie it can't read is. */
import { ok, route } from '../route.js';
import type { Route } from '../route.js';
import { login, session } from '../schemas/session.js';
import type { Authenticator } from '../security/authenticator.js';

export function sessionRoutes(authenticator: Authenticator): Route[] {
  return [
    route({
      method: 'post',
      path: '/api/session',
      tag: 'session',
      access: 'public',
      summary: 'Log a browser in',
      description:
        'Sets a signed, HttpOnly, SameSite=Strict cookie (over TLS with the prefix `__Host-`). It ends when it is not used for haSessionIdleTimeout, and haSessionLifetime after the login.',
      body: login,
      answers: { 200: { description: 'Logged in.', data: session } },
      refusals: {
        401: '`auth.invalid`: not the token; answered after a second, and the connection ends.',
        409: '`session.not-needed`: no token is set.',
      },
      handle: async ({ body }, { request }) => {
        const { cookie, expiresAtMs } = await authenticator.login(body.token, request);
        const data = { authenticated: true, expiresAt: new Date(expiresAtMs).toISOString() };
        return ok(data, { 'Set-Cookie': cookie });
      },
    }),
    route({
      method: 'delete',
      path: '/api/session',
      tag: 'session',
      access: 'public',
      summary: 'Log a browser out',
      description:
        'Ends the session for good: its cookie is worth nothing from then on. Idempotent. Change HA_API_TOKEN or SESSION_SECRET to end the sessions of all browsers.',
      answers: { 200: { description: 'Logged out.', data: session } },
      handle: async (_input, { request }) => {
        const cookie = await authenticator.logout(request);
        return ok({ authenticated: false, expiresAt: null }, { 'Set-Cookie': cookie });
      },
    }),
  ];
}
