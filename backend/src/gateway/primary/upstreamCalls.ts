/**
 * Calls that change the upstreams of a pool while the gateway runs, as the primary carries them out. Whether a caller may
 * was decided by the worker (pages/workerCalls.ts).
 *
 *   GET  /lb/upstreams           what the pool has
 *   POST /lb/upstreams           adds one: {"host","port","weight"}; one that is there gets the weight, and traffic again
 *   POST /lb/upstreams/change    {"host","port","weight"}
 *   POST /lb/upstreams/drain     takes nothing new; answers when the last request is finished, or after "timeoutMs"
 *   POST /lb/upstreams/undrain   takes traffic again
 *   POST /lb/upstreams/remove    drains it, and forgets it; answers like drain
 *
 * Instead of host and port: "upstream": "host:port". A change is on the disk before it is answered. What is so already is
 * answered with `changed: false`.
 */
import { shownJson } from '../../lib/secrets/ofProcess.js';
import { z } from 'zod';
import { memberOf, MOST_WEIGHT, parseMember } from '../../domain/upstreams/members.js';
import type { EditKind } from '../../domain/upstreams/upstreamEdits.js';
import { upstreamKey } from '../../domain/statistics/trafficLedger.js';
import type { UpstreamSnapshot } from '../../domain/upstreams/pool.js';
import type { Clock, Member } from '../../ports.js';
import type { OwnAnswer, Problem } from '../shared/answer.js';
import type { CallPath } from '../pages/ownPaths.js';
import type { EditedPools, EditOutcome } from './editedPools.js';

export interface UpstreamCallsOptions {
  readonly clock: Clock;
  readonly pools: EditedPools;
  /** Why calls may not change anything here, a sentence; asked where no pool may be changed. */
  readonly whyFixed: () => string;
  readonly rows: (pool: string) => readonly UpstreamSnapshot[];
  readonly inFlight: (pool: string, id: string) => number;
  /** Whether no worker has anything under way at this upstream (`upstreamKey`), which takes nothing new. */
  readonly isDrained: (key: string) => boolean;
  /** Whether this address is the gateway's own. */
  readonly isSelf: (host: string, port: number) => boolean;
}

const KINDS: Readonly<Record<Exclude<CallPath, '/lb/upstreams'>, EditKind>> = {
  '/lb/upstreams/change': 'change',
  '/lb/upstreams/drain': 'drain',
  '/lb/upstreams/undrain': 'undrain',
  '/lb/upstreams/remove': 'remove',
};

const LOOK_MS = 20;
const DEFAULT_DRAIN_MS = 30_000;
/** How long a call may wait for the last request. */
export const MOST_DRAIN_MS = 600_000;

const address = {
  upstream: z.string().max(300).optional(),
  host: z.string().max(300).optional(),
  port: z.int().min(1).max(65_535).optional(),
};
const weight = z.int().min(1).max(MOST_WEIGHT);
const waiting = { timeoutMs: z.int().min(0).max(MOST_DRAIN_MS).optional(), force: z.boolean().optional() };

interface CallBody {
  readonly upstream?: string | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly weight?: number | undefined;
  readonly timeoutMs?: number | undefined;
  readonly force?: boolean | undefined;
}

const BODIES: Readonly<Record<EditKind, z.ZodType<CallBody>>> = {
  add: z.strictObject({ ...address, weight: weight.optional() }),
  change: z.strictObject({ ...address, weight }),
  drain: z.strictObject({ ...address, ...waiting }),
  undrain: z.strictObject(address),
  remove: z.strictObject({ ...address, ...waiting }),
};

const STATUSES: Readonly<Record<(EditOutcome & { ok: false })['code'], number>> = {
  'upstream.unknown': 404,
  'upstream.last': 409,
  'upstreams.too-many': 409,
  'state.unwritable': 503,
};

export class UpstreamCalls {
  readonly #options: UpstreamCallsOptions;

  constructor(options: UpstreamCallsOptions) {
    this.#options = options;
  }

  /** Never rejects. @param body null: it is a GET. */
  async answer(path: CallPath, body: string | null): Promise<OwnAnswer | Problem> {
    const [pool] = this.#options.pools.names;
    if (pool === undefined) return fixed(this.#options.whyFixed());
    if (body === null) return success({ pool, upstreams: this.#upstreams(pool) });
    const kind = path === '/lb/upstreams' ? 'add' : KINDS[path];
    const read = readBody(kind, body);
    if ('status' in read) return read;
    const { member, weight, force, timeoutMs } = read;
    if (kind === 'add' && this.#options.isSelf(member.host, member.port)) {
      const message = `${member.id} is this gateway itself: requests would go round in circles.`;
      return { status: 422, code: 'upstream.self', message };
    }
    const { host, port } = member;
    const outcome = await this.#options.pools.edit(pool, { kind, host, port, weight, force });
    if (outcome === null) return fixed(this.#options.whyFixed());
    if (!outcome.ok) return { status: STATUSES[outcome.code], code: outcome.code, message: outcome.message };
    const { changed, id } = outcome;
    const drained =
      kind === 'drain' || kind === 'remove' ? await this.#untilDrained(pool, id, timeoutMs) : null;
    // The snapshot with the change is made before the loop turns to anything else.
    await new Promise((resolve) => this.#options.clock.after(0, () => resolve(undefined)));
    return success({
      changed,
      pool,
      upstream: id,
      ...(drained === null ? {} : { drained, inFlight: drained ? 0 : this.#options.inFlight(pool, id) }),
      upstreams: this.#upstreams(pool),
    });
  }

  /** Whether it took nothing new and had nothing left within the time. */
  async #untilDrained(pool: string, id: string, timeoutMs: number): Promise<boolean> {
    const { clock, isDrained, rows } = this.#options;
    const deadlineMs = clock.nowMs() + timeoutMs;
    for (;;) {
      await new Promise((resolve) => clock.after(LOOK_MS, () => resolve(undefined)));
      const row = rows(pool).find((one) => one.id === id);
      const takesTraffic = row !== undefined && row.state !== 'draining';
      // It was put back meanwhile by another call.
      if (takesTraffic) return false;
      if (isDrained(upstreamKey(pool, id))) return true;
      if (clock.nowMs() >= deadlineMs) return false;
    }
  }

  #upstreams(pool: string): readonly object[] {
    const { pools, rows, inFlight, isDrained } = this.#options;
    const listed = new Set(pools.pool(pool)?.listed.map(({ id }) => id));
    return rows(pool).map(({ id, host, port, weight, state }) => ({
      id,
      host,
      port,
      weight,
      state: state === 'draining' && isDrained(upstreamKey(pool, id)) ? 'drained' : state,
      inFlight: inFlight(pool, id),
      listed: listed.has(id),
    }));
  }
}

interface Read {
  readonly member: Member;
  readonly weight: number | null;
  readonly force: boolean;
  readonly timeoutMs: number;
}

function readBody(kind: EditKind, text: string): Read | Problem {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    return invalid('it is not JSON; send for example {"host": "10.0.0.1", "port": 8080}');
  }
  const parsed = BODIES[kind].safeParse(content);
  if (!parsed.success) {
    const said = parsed.error.issues.map(({ path, message }) =>
      path.length === 0 ? message : `${path.join('.')}: ${message}`,
    );
    return invalid(said.join('; '));
  }
  const { upstream, host, port, weight, force = false, timeoutMs = DEFAULT_DRAIN_MS } = parsed.data;
  const isOneWay = (upstream === undefined) !== (host === undefined && port === undefined);
  if (!isOneWay || (upstream === undefined && (host === undefined || port === undefined))) {
    return invalid('the upstream is named by host and port, or by "upstream": "host:port"');
  }
  const member = parseMember(upstream ?? memberOf((host ?? '').replace(/^\[(.*)\]$/, '$1'), port ?? 0).id);
  if (typeof member === 'string') return invalid(member);
  if (upstream?.includes(';') === true) return invalid('the weight is a field of its own: "weight"');
  return { member, weight: weight ?? null, force, timeoutMs };
}

const invalid = (what: string): Problem => ({
  status: 400,
  code: 'body.invalid',
  message: `The body can't be used: ${what}.`,
});

const fixed = (why: string): Problem => ({ status: 409, code: 'upstreams.fixed', message: why });

const HEAD = 'Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n';

function success(data: object): OwnAnswer {
  const body = `${shownJson({ success: true, data, timestamp: new Date().toISOString() })}\n`;
  return { status: 200, lines: HEAD, contentType: 'application/json; charset=utf-8', body };
}
