/**
 * Login sessions without a table: the cookie itself says who and until when, signed with a secret that all
 * instances share, so that any instance can read what another one issued, also after a restart.
 *
 *   wordpecker_session = base64url(JSON {user, expiresAtMs}) "." base64url(HMAC-SHA256(secret, first part))
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import { isLoopback } from '../lib/clientIp.js';
import type { EnvReader } from '../lib/env.js';
import type { Log } from '../lib/log.js';

const COOKIE = 'wordpecker_session';
export const SESSION_TTL_MS = 7 * 24 * 60 * 60 * 1000;
/** Characters. A signature is no stronger than its secret. */
const MIN_SECRET_LENGTH = 16;

export class SessionCookies {
  readonly #secret: string;
  readonly #wallMs: () => number;

  constructor(secret: string, wallMs: () => number = Date.now) {
    this.#secret = secret;
    this.#wallMs = wallMs;
  }

  /** The user of the request's session, or null when there is none, it has expired or it was tampered with. */
  user(request: IncomingMessage): string | null {
    const value = cookieOf(request);
    const [payload, signature, ...rest] = value?.split('.') ?? [];
    if (payload === undefined || signature === undefined || rest.length > 0) return null;
    if (!sameText(signature, this.#sign(payload))) return null;
    // Signed by us, so it has the shape we gave it.
    const { user, expiresAtMs } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as {
      user: string;
      expiresAtMs: number;
    };
    return expiresAtMs > this.#wallMs() ? user : null;
  }

  /** A Set-Cookie value that logs `user` in for seven days. */
  issue(user: string, request: IncomingMessage): string {
    const expiresAtMs = this.#wallMs() + SESSION_TTL_MS;
    const payload = Buffer.from(JSON.stringify({ user, expiresAtMs })).toString('base64url');
    return setCookie(`${payload}.${this.#sign(payload)}`, SESSION_TTL_MS, request);
  }

  /** A Set-Cookie value that logs out. */
  clear(request: IncomingMessage): string {
    return setCookie('', 0, request);
  }

  #sign(payload: string): string {
    return createHmac('sha256', this.#secret).update(payload).digest('base64url');
  }
}

/**
 * JWT_SECRET, which only this service knows, else SESSION_SECRET, which a deployment gives to all its processes. In
 * production one of them is required; elsewhere both may be missing: then a secret is derived from this machine and
 * folder, the same for all instances here, and a warning says so. Puts what is wrong into the reader's problems.
 */
export function readSessionSecret(reader: EnvReader, log: Log): string {
  const name = reader.text('JWT_SECRET') === null ? 'SESSION_SECRET' : 'JWT_SECRET';
  const secret = reader.text(name);
  if (secret !== null && secret.length < MIN_SECRET_LENGTH) {
    reader.problem(
      `${name} is shorter than ${MIN_SECRET_LENGTH} characters: make one with "openssl rand -hex 32"`,
    );
  }
  if (secret === null && reader.text('NODE_ENV') === 'production') {
    reader.problem(
      'SESSION_SECRET is not set, nor JWT_SECRET: in production give one secret to all instances, e.g. from "openssl rand -hex 32"',
    );
    return '';
  }
  if (secret !== null) return secret;
  log.warn('SESSION_SECRET is not set: sessions are signed with a guessable development secret');
  const here = fileURLToPath(new URL('../..', import.meta.url));
  return createHash('sha256').update(`wordpecker development ${os.hostname()} ${here}`).digest('hex');
}

function setCookie(value: string, ttlMs: number, request: IncomingMessage): string {
  const parts = [`${COOKIE}=${value}`, 'Path=/', `Max-Age=${ttlMs / 1000}`, 'HttpOnly', 'SameSite=Lax'];
  if (cameOverTls(request)) parts.push('Secure');
  return parts.join('; ');
}

/** We speak plain HTTP ourselves; a proxy on this machine says when its client used TLS. */
function cameOverTls(request: IncomingMessage): boolean {
  return isLoopback(request.socket.remoteAddress) && request.headers['x-forwarded-proto'] === 'https';
}

function cookieOf(request: IncomingMessage): string | null {
  for (const pair of request.headers.cookie?.split(';') ?? []) {
    const [name, ...value] = pair.trim().split('=');
    if (name === COOKIE) return value.join('=');
  }
  return null;
}

function sameText(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}
