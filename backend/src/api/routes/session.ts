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
      description: 'Sets a signed, HttpOnly, SameSite=Strict cookie for 12 hours; each use moves its end on.',
      body: login,
      answers: { 200: { description: 'Logged in.', data: session } },
      refusals: {
        401: '`auth.invalid`: not the token.',
        409: '`session.not-needed`: no token is set.',
        429: '`auth.too-many-guesses`',
      },
      handle: ({ body }, { request }) => {
        const { cookie, expiresAtMs } = authenticator.login(body.token, request);
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
      description: 'Idempotent. Change HA_API_TOKEN or SESSION_SECRET to end the sessions of all browsers.',
      answers: { 200: { description: 'Logged out.', data: session } },
      handle: (_input, { request }) =>
        ok({ authenticated: false, expiresAt: null }, { 'Set-Cookie': authenticator.logout(request) }),
    }),
  ];
}
