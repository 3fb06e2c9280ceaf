/**
 * Decides which calls are carried out. Those over the private socket are; without a token (loopback only) all are; with
 * one, a bearer token or a browser session is needed. The right token is accepted at once whatever else comes from its address; the refusal of a wrong
 * one is held back, and ends its connection (lib/tokenCheck.ts).
 */
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Request, RequestHandler } from 'express';
import { HoldfastError } from '../../domain/errors.js';
import { Complaints } from '../../lib/complaints.js';
import { TokenCheck } from '../../lib/tokenCheck.js';
import { remoteAddressOf } from '../requestLog.js';
import type { Logger } from '../../ports.js';
import type { ApiLimits, ApiSettings } from '../settings.js';
import { isPrivate, markAuthenticated } from './callers.js';
import { RevokedSessions, type SessionStore } from './revokedSessions.js';
import { SessionCookies, expiredCookie, type Session } from './sessionCookie.js';

const BEARER = /^Bearer +([\x21-\x7e]{1,1024})$/i;

export interface AuthenticatorOptions {
  readonly settings: Pick<ApiSettings, 'token' | 'sessionSecret'>;
  readonly limits: ApiLimits;
  readonly logger: Logger;
  /** Keeps what was logged out; null: for as long as this process runs. */
  readonly sessionStore: SessionStore | null;
  /** A request showed the token, or a session. */
  readonly onAuthenticated: (request: Request) => void;
}

export class Authenticator {
  readonly #token: TokenCheck | null;
  readonly #sessions: SessionCookies | null;
  readonly #revoked: RevokedSessions;
  readonly #delayMs: number;
  readonly #complaints: Complaints;
  readonly #onAuthenticated: (request: Request) => void;
  #refused = 0;

  constructor({ settings, limits, logger, sessionStore, onAuthenticated }: AuthenticatorOptions) {
    const token = settings.token === '' ? null : settings.token;
    const secret = settings.sessionSecret === '' ? null : settings.sessionSecret;
    this.#token = token === null ? null : new TokenCheck(token);
    this.#sessions = token === null ? null : new SessionCookies(secret, token, limits);
    this.#revoked = new RevokedSessions(sessionStore, logger);
    this.#delayMs = limits.wrongTokenDelayMs;
    this.#onAuthenticated = onAuthenticated;
    this.#complaints = new Complaints(logger, () => performance.now());
  }

  /** Reads which sessions were logged out; to be awaited before the first request. */
  async load(): Promise<void> {
    await this.#revoked.load(Date.now());
  }

  /** Wrong tokens so far. */
  get refused(): number {
    return this.#refused;
  }

  /** Whether a request shows the token, or a session. Cheap, and without any effect. */
  knows(request: IncomingMessage): boolean {
    const [, shown] = BEARER.exec(request.headers.authorization ?? '') ?? [];
    if (shown !== undefined && this.#token?.isRight(shown) === true) return true;
    return this.#validSessions(request).length > 0;
  }

  /** Lets a request pass, or refuses with 401 `auth.required` or 401 `auth.invalid`. */
  readonly middleware: RequestHandler = async (request, response, next) => {
    if (this.#sessions === null || isPrivate(request)) {
      next();
      return;
    }
    const [session] = this.#validSessions(request);
    if (session !== undefined) {
      this.#believe(request);
      if (session.renew) {
        const { header } = this.#sessions.renew(session, Date.now(), isSecure(request));
        response.append('Set-Cookie', header);
      }
      next();
      return;
    }
    const [, shown] = BEARER.exec(request.headers.authorization ?? '') ?? [];
    if (shown === undefined) {
      next(
        new HoldfastError(
          'auth.required',
          'This call needs a token: send "Authorization: Bearer <HA_API_TOKEN>", or log in with POST /api/session.',
          { status: 401 },
        ),
      );
      return;
    }
    next((await this.#check(shown, request)) ?? undefined);
  };

  /**
   * Starts a session for a caller that shows the token.
   * @throws HoldfastError 401 `auth.invalid`, 409 `session.not-needed`.
   */
  async login(
    token: string,
    request: Request,
  ): Promise<{ readonly cookie: string; readonly expiresAtMs: number }> {
    if (this.#sessions === null) {
      throw new HoldfastError(
        'session.not-needed',
        'No HA_API_TOKEN is set, so there is nothing to log in to: every call works as it is.',
        { status: 409 },
      );
    }
    const refusal = await this.#check(token, request);
    if (refusal !== null) throw refusal;
    const { header, expiresAtMs } = this.#sessions.issue(Date.now(), isSecure(request));
    return { cookie: header, expiresAtMs };
  }

  /**
   * Ends the sessions of a request, here and, by the cookie that is returned, in its browser. Resolves when that is
   * written down.
   */
  async logout(request: Request): Promise<string> {
    const nowMs = Date.now();
    for (const session of this.#validSessions(request))
      await this.#revoked.add(session, session.endsAtMs, nowMs);
    return expiredCookie(isSecure(request));
  }

  #validSessions(request: IncomingMessage): readonly Session[] {
    const sessions = this.#sessions?.read(request.headers.cookie, Date.now()) ?? [];
    return sessions.filter((session) => !this.#revoked.has(session));
  }

  /** @returns null at once for the right token; the refusal of a wrong one after its delay. */
  async #check(shown: string, request: Request): Promise<HoldfastError | null> {
    if (this.#token?.isRight(shown) === true) {
      this.#believe(request);
      return null;
    }
    this.#refused += 1;
    const remoteAddress = remoteAddressOf(request);
    this.#complaints.complain('wrong token', 'A wrong API token was refused', { remoteAddress });
    request.res?.set('Connection', 'close');
    await sleep(this.#delayMs);
    return new HoldfastError('auth.invalid', 'The token is not the one in HA_API_TOKEN.', { status: 401 });
  }

  #believe(request: Request): void {
    markAuthenticated(request);
    this.#onAuthenticated(request);
  }
}

/**
 * TLS ends at a proxy, if anywhere, which says so; and at a login the browser says by which scheme the page came. A client
 * that says so falsely gets a cookie that its own browser does not keep.
 */
function isSecure(request: Request): boolean {
  return (
    request.get('x-forwarded-proto') === 'https' || request.headers.origin?.startsWith('https://') === true
  );
}
