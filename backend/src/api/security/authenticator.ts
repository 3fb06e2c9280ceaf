/**
 * Decides who may call. Without a token (loopback only) everybody may; with one, a bearer token or a browser
 * session is needed. Tokens are compared as SHA-256 digests in constant time, and guesses are bounded.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Request, RequestHandler } from 'express';
import { HoldfastError } from '../../domain/errors.js';
import { GuessLimiter } from '../../lib/guessLimiter.js';
import { remoteAddressOf } from '../requestLog.js';
import type { Logger } from '../../ports.js';
import type { ApiLimits, ApiSettings } from '../settings.js';
import { SessionCookies, expiredCookie } from './sessionCookie.js';

const BEARER = /^Bearer +([\x21-\x7e]{1,1024})$/i;

export class Authenticator {
  readonly #expected: Buffer | null;
  readonly #sessions: SessionCookies | null;
  readonly #guesses: GuessLimiter;
  readonly #logger: Logger;
  #refused = 0;

  constructor(settings: Pick<ApiSettings, 'token' | 'sessionSecret'>, limits: ApiLimits, logger: Logger) {
    const token = settings.token === '' ? null : settings.token;
    const secret = settings.sessionSecret === '' ? null : settings.sessionSecret;
    this.#expected = token === null ? null : digest(token);
    this.#sessions = token === null ? null : new SessionCookies(secret, token, limits.sessionLifetimeMs);
    this.#guesses = new GuessLimiter(limits.guesses);
    this.#logger = logger;
  }

  /** Wrong tokens so far. */
  get refused(): number {
    return this.#refused;
  }

  /** Lets a request pass, or refuses with 401 `auth.required`, 401 `auth.invalid` or 429 `auth.too-many-guesses`. */
  readonly middleware: RequestHandler = (request, response, next) => {
    if (this.#sessions === null) {
      next();
      return;
    }
    const session = this.#sessions.read(request.headers.cookie, Date.now());
    if (session !== null) {
      if (session.renew) {
        response.append('Set-Cookie', this.#sessions.issue(Date.now(), isSecure(request)).header);
      }
      next();
      return;
    }
    const [, guess] = BEARER.exec(request.headers.authorization ?? '') ?? [];
    if (guess === undefined) {
      next(
        new HoldfastError(
          'auth.required',
          'This call needs a token: send "Authorization: Bearer <HA_API_TOKEN>", or log in with POST /api/session.',
          { status: 401 },
        ),
      );
      return;
    }
    next(this.#check(guess, request) ?? undefined);
  };

  /**
   * Starts a session for whoever knows the token.
   * @throws HoldfastError 401 `auth.invalid`, 429 `auth.too-many-guesses`, 409 `session.not-needed`.
   */
  login(token: string, request: Request): { readonly cookie: string; readonly expiresAtMs: number } {
    if (this.#sessions === null) {
      throw new HoldfastError(
        'session.not-needed',
        'No HA_API_TOKEN is set, so there is nothing to log in to: every call works as it is.',
        { status: 409 },
      );
    }
    const refusal = this.#check(token, request);
    if (refusal !== null) throw refusal;
    const { header, expiresAtMs } = this.#sessions.issue(Date.now(), isSecure(request));
    return { cookie: header, expiresAtMs };
  }

  /** The cookie that ends a browser's session. */
  logout(request: Request): string {
    return expiredCookie(isSecure(request));
  }

  #check(guess: string, request: Request): HoldfastError | null {
    const address = remoteAddressOf(request);
    const nowMs = performance.now();
    const retryAfterSeconds = this.#guesses.waitSeconds(address, nowMs);
    if (retryAfterSeconds > 0) {
      return new HoldfastError(
        'auth.too-many-guesses',
        `Too many wrong tokens came from ${address}. Try again in ${retryAfterSeconds} s.`,
        { status: 429, retryable: true, details: { retryAfterSeconds } },
      );
    }
    const guessed = digest(guess);
    if (this.#expected !== null && timingSafeEqual(guessed, this.#expected)) return null;
    this.#refused += 1;
    if (this.#guesses.charge(address, guessed.toString('base64'), nowMs)) {
      this.#logger.warn('A wrong API token was refused', { remoteAddress: address });
    }
    return new HoldfastError('auth.invalid', 'The token is not the one in HA_API_TOKEN.', { status: 401 });
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** TLS ends at a proxy, if anywhere. Whoever lies here only spoils his own cookie. */
function isSecure(request: Request): boolean {
  return request.get('x-forwarded-proto') === 'https';
}
