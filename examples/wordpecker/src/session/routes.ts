/** /api/login, /api/logout, /api/me (`user` is null for who is not logged in). A sample: a name is enough, there is no password to check. */
import express from 'express';
import type { Router } from 'express';
import { z } from 'zod/v3';
import { parse } from '../lib/validate.js';
import type { SessionCookies } from './sessionCookies.js';

const loginSchema = z.object({ user: z.string().trim().min(1).max(40) }).strict();

export function sessionRoutes(sessions: SessionCookies): Router {
  const router = express.Router();

  router.post('/login', (request, response) => {
    const { user } = parse(loginSchema, request.body);
    response.setHeader('Set-Cookie', sessions.issue(user, request));
    response.json({ success: true, data: { user } });
  });

  router.get('/me', (request, response) => {
    response.json({ success: true, data: { user: sessions.user(request) } });
  });

  router.post('/logout', (request, response) => {
    response.setHeader('Set-Cookie', sessions.clear(request));
    response.json({ success: true, data: { user: null } });
  });

  return router;
}
