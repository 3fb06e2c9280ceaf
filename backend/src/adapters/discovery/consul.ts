/**
 * Upstreams from Consul: the passing instances of a service, by blocking queries on /v1/health/service/<name>. Each
 * query names the index of the last answer and hangs until there is something newer, or for `wait`; so changes arrive at
 * once and an idle service costs a request a minute. The rules for the index, as Consul documents them:
 *
 *   - it went backwards (a server was restored, another one answered): begin again without one;
 *   - it is 0 or missing: 1, or every query would return at once;
 *   - the same answer may come again: it is compared, not counted.
 *
 * Any server may answer (`stale`), so that Consul electing a leader is no reason to know nothing. An answer from a server
 * that lost its leader, or has heard nothing from it for half a minute, is not taken over, unless nothing is known yet.
 * Whatever fails: the last good answer is kept, and asked again with growing pauses.
 */
import { z } from 'zod';

import { memberOf, MOST_WEIGHT, type Member } from '../../domain/upstreams/members.js';
import type { UpstreamSource } from '../../domain/upstreams/upstreamSource.js';
import { messageOf } from '../../domain/errors.js';
import { fullJitterMs } from '../../lib/backoff.js';
import type { Clock, Discovery } from '../../ports.js';
import { MemberFeed } from './feed.js';
import { getJson, type JsonAnswer } from './getJson.js';

type ConsulSource = Extract<UpstreamSource, { kind: 'consul' }>;

export interface ConsulOptions {
  readonly source: ConsulSource;
  readonly clock: Clock;
  readonly random: () => number;
  /** How long a query may hang. Default 60 000. */
  readonly waitMs?: number;
  /** Pause between two queries, however fast they return. Default 250. */
  readonly pauseMs?: number;
}

const BACKOFF = { baseMs: 500, capMs: 30_000 };
const MOST_STALE_MS = 30_000;
/** Consul adds up to a sixteenth to the wait; the rest is for the way. */
const MARGIN_MS = 10_000;

const port = z.int().min(0).max(65_535);
const serviceEntries = z.array(
  z.object({
    Node: z.object({ Address: z.string() }),
    Service: z.object({
      ID: z.string(),
      Address: z.string().default(''),
      Port: port.default(0),
      Weights: z.object({ Passing: z.number() }).nullish(),
      // Free text of the service's owner: nothing in it is a reason to refuse the answer.
      Meta: z.object({ weight: z.unknown() }).nullish().catch(null),
    }),
  }),
);

export class ConsulDiscovery implements Discovery {
  readonly #options: ConsulOptions;
  readonly #feed = new MemberFeed();
  readonly #abort = new AbortController();
  /** 0: the next query does not wait. */
  #index = 0;
  #failures = 0;
  #cancelTimer: () => void = () => undefined;

  constructor(options: ConsulOptions) {
    this.#options = options;
  }

  start(listener: (members: readonly Member[]) => void, onProblem: (problem: string) => void): void {
    this.#feed.open(listener, onProblem);
    void this.#ask();
  }

  close(): Promise<void> {
    this.#feed.close();
    this.#cancelTimer();
    this.#abort.abort();
    return Promise.resolve();
  }

  async #ask(): Promise<void> {
    const { clock, random, pauseMs } = this.#options;
    try {
      this.#takeOver(await this.#query());
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      this.#index = 0;
      this.#feed.fail(`Consul: ${messageOf(error)}`);
    }
    if (!this.#feed.isOpen) return;
    const backoffMs = this.#failures === 0 ? 0 : fullJitterMs(this.#failures - 1, BACKOFF, random);
    this.#cancelTimer = clock.after((pauseMs ?? 250) + backoffMs, () => void this.#ask());
  }

  async #query(): Promise<JsonAnswer> {
    const { source, waitMs = 60_000 } = this.#options;
    const url = new URL(`v1/health/service/${encodeURIComponent(source.service)}`, withSlash(source.url));
    url.searchParams.set('passing', 'true');
    url.searchParams.set('stale', '');
    if (source.datacenter !== null) url.searchParams.set('dc', source.datacenter);
    if (source.tag !== null) url.searchParams.set('tag', source.tag);
    if (this.#index > 0) {
      url.searchParams.set('index', String(this.#index));
      url.searchParams.set('wait', `${waitMs}ms`);
    }
    const answer = await getJson(url, {
      headers: source.token === null ? {} : { 'x-consul-token': source.token },
      timeoutMs: (this.#index > 0 ? waitMs * (1 + 1 / 16) : 0) + MARGIN_MS,
      signal: this.#abort.signal,
    });
    if (answer.status === 403) throw new Error(`${url.host} refuses the token (403); see consulToken`);
    if (answer.status !== 200) throw new Error(`${url.host} answered ${answer.status}`);
    return answer;
  }

  #takeOver({ headers, body }: JsonAnswer): void {
    const staleness = stalenessOf(headers);
    if (staleness !== null && this.#feed.last !== null) throw new Error(staleness);
    const parsed = serviceEntries.safeParse(body);
    if (!parsed.success) throw new Error('the answer is not a list of service entries');
    const { service } = this.#options.source;
    const members = parsed.data.flatMap(({ Node, Service }) =>
      Service.Port === 0 ? [] : [memberOf(Service.Address || Node.Address, Service.Port, weightOf(Service))],
    );
    const remark =
      members.length > 0
        ? null
        : parsed.data.length === 0
          ? `Consul: no instance of ${service} passes its checks`
          : `Consul: no instance of ${service} is registered with a port`;
    this.#index = nextIndex(this.#index, Number(headers['x-consul-index']));
    this.#feed.publish(members, remark);
  }
}

const withSlash = (url: string): string => (url.endsWith('/') ? url : `${url}/`);

function nextIndex(before: number, now: number): number {
  if (!Number.isSafeInteger(now) || now < 1) return 1;
  return now < before ? 0 : now;
}

/** Why the answer is too old to go by, or null. */
function stalenessOf(headers: JsonAnswer['headers']): string | null {
  if (headers['x-consul-knownleader'] === 'false') return 'the server that answered knows no leader';
  const lastContactMs = Number(headers['x-consul-lastcontact'] ?? 0);
  if (!(lastContactMs > MOST_STALE_MS)) return null;
  return `the server that answered has not heard from its leader for ${Math.round(lastContactMs / 1000)} s`;
}

type ConsulService = z.infer<typeof serviceEntries>[number]['Service'];

/**
 * `Weights.Passing`; where that is 1, which is also what Consul says of a service that was registered without weights,
 * `Meta.weight`. A whole number from 1 to MOST_WEIGHT: others are rounded and limited, and text that is no number, or a
 * number that is not above 0, counts as 1.
 */
function weightOf({ Weights, Meta }: ConsulService): number {
  const passing = Math.round(Weights?.Passing ?? 1);
  const weight = passing === 1 ? metaWeight(Meta?.weight) : passing;
  return Math.min(Math.max(weight, 1), MOST_WEIGHT);
}

const DECIMAL = /^\s*\d+(\.\d+)?\s*$/;

function metaWeight(value: unknown): number {
  const text = typeof value === 'number' ? String(value) : value;
  return typeof text === 'string' && DECIMAL.test(text) ? Math.round(Number(text)) : 1;
}
