/**
 * The gateway's own pages as a worker serves them. It answers `/health` and `/api/client-ip` from what it knows
 * itself; the others it asks the primary for, over the channel between them:
 *
 *   client ─▶ worker: whose page, which method, may he? ─▶ primary: renders ─▶ worker ─▶ client
 *
 * Asking is bounded: requests for the same page share one question, and the public page is kept for a second, so
 * that nobody can make the primary work by asking often.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { WRONG_TOKEN_DELAY_MS } from '../../lib/tokenCheck.js';
import { shownJson } from '../../lib/secrets/ofProcess.js';
import { prefersPage } from '../shared/accept.js';
import { isProblem, problemAnswer, type OwnAnswer, type Problem } from '../shared/answer.js';
import type { OwnPageRequest, OwnPages } from '../shared/ownPages.js';
import { createAccessRule, type AccessOptions, type Verdict, type Visitor } from './access.js';
import {
  isCallPath,
  isOwnPath,
  isPrimaryPath,
  RESET_PATH,
  type CallPath,
  type PrimaryPath,
} from './ownPaths.js';
import { WorkerCalls, type WorkerCallsOptions } from './workerCalls.js';

export interface WorkerPagesOptions extends AccessOptions {
  /** Default: no calls are taken. */
  readonly calls?: Omit<WorkerCallsOptions, 'judge'>;
  /** Asks the primary to render a page. May reject, may never answer. */
  readonly askPrimary: (path: PrimaryPath) => Promise<OwnAnswer | Problem>;
  readonly health: () => WorkerHealth;
  /** Somebody may not see a page; `code` is one of a fixed set. */
  readonly onRefused: (code: string) => void;
  /** How long the refusal of a wrong token is held back. Default: WRONG_TOKEN_DELAY_MS. */
  readonly wrongTokenDelayMs?: number;
  /** Monotonic, ms. */
  readonly nowMs: () => number;
  /** A page that the primary has not rendered by then is answered with 503. Default 5 000. */
  readonly timeoutMs?: number;
}

export interface WorkerHealth {
  /** The gateway is on its way out. */
  readonly draining: boolean;
  /** Pools, and those of them with nothing to send a request to. */
  readonly pools: number;
  readonly emptyPools: number;
}

const JSON_TYPE = 'application/json; charset=utf-8';
const NO_STORE = 'Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n';
const PUBLIC_PAGE: PrimaryPath = '/status.html';
const PUBLIC_KEPT_MS = 1_000;
/** A call may wait for the last request of an upstream: ten minutes (primary/upstreamCalls.ts), and to be answered. */
const LONGEST_CALL_MS = 610_000;

export class WorkerPages implements OwnPages {
  readonly #options: WorkerPagesOptions;
  readonly #judge: (visitor: Visitor) => Verdict;
  readonly #calls: WorkerCalls | null;
  /** Questions under way: at most one a page. */
  readonly #asked = new Map<PrimaryPath, Promise<OwnAnswer | Problem>>();
  #kept: { readonly answer: OwnAnswer; readonly atMs: number } | null = null;

  constructor(options: WorkerPagesOptions) {
    this.#options = options;
    this.#judge = createAccessRule(options);
    this.#calls =
      options.calls === undefined ? null : new WorkerCalls({ ...options.calls, judge: this.#judge });
  }

  takesBody(path: string, method: string): boolean {
    return method === 'POST' && isCallPath(path);
  }

  patienceMs(path: string): number {
    return isCallPath(path) ? LONGEST_CALL_MS : 0;
  }

  handles(path: string): boolean {
    return isOwnPath(path);
  }

  async answer(request: OwnPageRequest): Promise<OwnAnswer> {
    const found = await this.#find(request);
    if (!isProblem(found)) return found;
    return problemAnswer(found, request.requestId, prefersPage(request.header('accept')));
  }

  async #find(request: OwnPageRequest): Promise<OwnAnswer | Problem> {
    const { path, method } = request;
    if (isCallPath(path) && this.#calls !== null) return this.#call(this.#calls, path, request);
    const changes = path === RESET_PATH;
    if (changes ? method !== 'POST' : method !== 'GET' && method !== 'HEAD') {
      const message = changes ? `${path} takes POST.` : `${path} can only be read.`;
      const lines = `Allow: ${changes ? 'POST' : 'GET, HEAD'}\r\n`;
      return { status: 405, code: 'method.unknown', message, lines };
    }
    if (path === '/health') return healthAnswer(this.#options.health());
    if (path === '/api/client-ip') return json(200, { success: true, ip: request.clientAddress });
    if (!isPrimaryPath(path)) {
      return { status: 404, code: 'page.unknown', message: `There is no page ${path}.` };
    }
    if (path === PUBLIC_PAGE) return this.#publicPage();
    const verdict = this.#judge(visitorOf(request));
    if (verdict.allowed) return changes ? this.#change(path, request) : this.#ask(path);
    return this.#refuse(verdict);
  }

  async #refuse(verdict: Refused): Promise<Problem> {
    const { onRefused, wrongTokenDelayMs = WRONG_TOKEN_DELAY_MS } = this.#options;
    onRefused(verdict.code);
    if (verdict.code === 'auth.invalid') await sleep(wrongTokenDelayMs);
    return refusalOf(verdict);
  }

  /** A person who pressed the button on `/lb` is led back there. */
  async #change(path: PrimaryPath, request: OwnPageRequest): Promise<OwnAnswer | Problem> {
    const answer = await this.#ask(path);
    if (isProblem(answer) || !prefersPage(request.header('accept'))) return answer;
    return { ...answer, status: 303, lines: `${answer.lines}Location: /lb\r\n` };
  }

  async #call(calls: WorkerCalls, path: CallPath, request: OwnPageRequest): Promise<OwnAnswer | Problem> {
    const outcome = await calls.answer(path, request, visitorOf(request));
    if ('body' in outcome) return outcome;
    if ('allowed' in outcome) {
      if (outcome.allowed) throw new Error('a verdict that allows is no answer');
      return this.#refuse(outcome);
    }
    this.#options.onRefused(outcome.code);
    return outcome;
  }

  async #publicPage(): Promise<OwnAnswer | Problem> {
    const { nowMs } = this.#options;
    if (this.#kept !== null && nowMs() - this.#kept.atMs < PUBLIC_KEPT_MS) return this.#kept.answer;
    const answer = await this.#ask(PUBLIC_PAGE);
    if (!isProblem(answer)) this.#kept = { answer, atMs: nowMs() };
    return answer;
  }

  async #ask(path: PrimaryPath): Promise<OwnAnswer | Problem> {
    const underWay = this.#asked.get(path);
    if (underWay !== undefined) return underWay;
    const asking = this.#askInTime(path).finally(() => this.#asked.delete(path));
    this.#asked.set(path, asking);
    return asking;
  }

  /** Never rejects. */
  async #askInTime(path: PrimaryPath): Promise<OwnAnswer | Problem> {
    const { askPrimary, timeoutMs = 5_000 } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(resolve, timeoutMs, null);
    });
    const answer = await Promise.race([askPrimary(path).catch(() => null), late]);
    clearTimeout(timer);
    if (answer !== null) return answer;
    const message = `The gateway's primary process does not answer, so ${path} can't be shown. Traffic goes on.`;
    return { status: 503, code: 'page.unavailable', message };
  }
}

/**
 * For whoever stands in front of several gateways: 200 while requests can be served here, 503 when this gateway is
 * leaving or has nothing to send any request to.
 */
function healthAnswer({ draining, pools, emptyPools }: WorkerHealth): OwnAnswer {
  if (draining) return json(503, { status: 'draining' });
  if (emptyPools === pools) return json(503, { status: 'unavailable' });
  return json(200, { status: emptyPools === 0 ? 'ok' : 'degraded' });
}

function visitorOf(request: OwnPageRequest): Visitor {
  return {
    peerAddress: request.peerAddress,
    host: request.host,
    authorization: request.header('authorization') ?? undefined,
    forwarded: request.passedOn,
    change:
      request.method === 'POST'
        ? { origin: request.header('origin'), fetchSite: request.header('sec-fetch-site') }
        : null,
  };
}

type Refused = Exclude<Verdict, { allowed: true }>;

function refusalOf(verdict: Refused): Problem {
  if (verdict.status !== 401) return verdict;
  const challenge = 'WWW-Authenticate: Basic realm="Holdfast gateway", charset="UTF-8"\r\n';
  return { ...verdict, lines: `${challenge}WWW-Authenticate: Bearer\r\n` };
}

function json(status: number, body: unknown): OwnAnswer {
  return {
    status,
    lines: NO_STORE,
    contentType: JSON_TYPE,
    body: `${shownJson(body)}\n`,
  };
}
