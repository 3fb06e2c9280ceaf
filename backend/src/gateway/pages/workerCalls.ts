/**
 * Calls that change something (POST below `/lb/upstreams`), as a worker takes them: judges the caller, and hands the call
 * to the primary (primary/upstreamCalls.ts). The list of upstreams (GET) is for every client that may see `/lb`.
 *
 * A change is allowed to a client that shows the token, and without it to programs that run on this machine as the user of the
 * gateway, or as root. More is asked than for looking at `/lb`, because the gateway's port is where strangers come in:
 *
 * - other users of this machine reach loopback, too, and so does every client of a proxy here that adds no forwarding
 *   fields: the kernel says which user holds the other end of the connection (adapters/net/peerUser);
 * - a browser sends what any page tells it, a password along with it: it says so by Origin or Sec-Fetch-Site, and no call
 *   with one of them is carried out, whatever its Host, its origin and its token are.
 */
import type { OwnAnswer, Problem } from '../shared/answer.js';
import type { OwnPageRequest } from '../shared/ownPages.js';
import type { Verdict, Visitor } from './access.js';
import type { CallPath } from './ownPaths.js';

export interface WorkerCallsOptions {
  /** The rule of `/lb`. */
  readonly judge: (visitor: Visitor) => Verdict;
  /** The user at the other end of a loopback connection; null: not known. */
  readonly peerUserId: (connection: NonNullable<OwnPageRequest['connection']>) => Promise<number | null>;
  /** Of this process; null where there are no users. */
  readonly ownUserId: number | null;
  /** Has the primary carry it out. May reject, may take as long as the call allows. */
  readonly askPrimary: (path: CallPath, body: string | null) => Promise<OwnAnswer | Problem>;
}

/** Calls of one worker that wait, for an upstream to drain mostly. */
const MOST_WAITING = 64;
const ROOT = 0;
const LOOPBACK_NAME = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d*)?$/i;

export class WorkerCalls {
  readonly #options: WorkerCallsOptions;
  #waiting = 0;

  constructor(options: WorkerCallsOptions) {
    this.#options = options;
  }

  async answer(
    path: CallPath,
    request: OwnPageRequest,
    visitor: Visitor,
  ): Promise<OwnAnswer | Problem | Verdict> {
    const { method, body } = request;
    const reads = path === '/lb/upstreams' && (method === 'GET' || method === 'HEAD');
    if (!reads && method !== 'POST') return wrongMethod(path);
    if (body === null && !reads)
      return { status: 413, code: 'body.too-large', message: 'The call is too long.' };
    const refusal = reads ? null : await this.#objection(request, visitor);
    if (refusal !== null) return refusal;
    const verdict = this.#options.judge(visitor);
    if (!verdict.allowed) return verdict;
    return this.#ask(path, reads ? null : body);
  }

  /** Why what would be shown to this caller is not done for it; null: it may be. */
  async #objection(request: OwnPageRequest, visitor: Visitor): Promise<Problem | Verdict | null> {
    if (request.header('origin') !== null || request.header('sec-fetch-site') !== null) return FROM_BROWSER;
    const contentType = request.header('content-type');
    if (
      contentType !== null &&
      !/^(application\/json|application\/x-www-form-urlencoded)\b/i.test(contentType)
    )
      return NOT_JSON;
    if (visitor.authorization !== undefined) {
      // As from elsewhere: a wrong token is refused here, too.
      const shown = this.#options.judge({ ...visitor, forwarded: true });
      if (shown.allowed || shown.code !== 'page.local-only') return shown.allowed ? null : shown;
    }
    const local = this.#options.judge({ ...visitor, authorization: undefined });
    if (!local.allowed) return local;
    if (!LOOPBACK_NAME.test(request.host)) return OTHER_USER;
    const { connection } = request;
    const user = connection === null ? null : await this.#options.peerUserId(connection);
    return user !== null && (user === ROOT || user === this.#options.ownUserId) ? null : OTHER_USER;
  }

  async #ask(path: CallPath, body: string | null): Promise<OwnAnswer | Problem> {
    if (this.#waiting >= MOST_WAITING) return TOO_MANY;
    this.#waiting += 1;
    try {
      return await this.#options.askPrimary(path, body);
    } finally {
      this.#waiting -= 1;
    }
  }
}

function wrongMethod(path: CallPath): Problem {
  const allowed = path === '/lb/upstreams' ? 'GET, HEAD, POST' : 'POST';
  const message = `${path} takes ${allowed.replace(', HEAD,', ' and')}.`;
  return { status: 405, code: 'method.unknown', message, lines: `Allow: ${allowed}\r\n` };
}

const FROM_BROWSER: Problem = {
  status: 403,
  code: 'call.browser',
  message: 'A browser sent this. Upstreams are changed by programs, such as curl, so that no page can do it.',
};

const NOT_JSON: Problem = {
  status: 415,
  code: 'body.not-json',
  message: 'The body must be JSON: send "Content-Type: application/json".',
};

const OTHER_USER: Problem = {
  status: 403,
  code: 'call.other-user',
  message:
    'Without a token, upstreams are changed by programs on this machine that run as the user of the gateway, addressed to localhost. Set HA_API_TOKEN for others, and send "Authorization: Bearer <HA_API_TOKEN>".',
};

const TOO_MANY: Problem = {
  status: 503,
  code: 'call.too-many',
  message: 'Too many calls wait for upstreams to drain.',
};
