/**
 * Upstreams of one service from the supervisor: the instances that it announces as serving.
 *
 *   apart ──stream opened──▶ following ──stream ended, silent, or malformed──▶ apart (after a pause)
 *
 * The event stream says *when* to look, GET /api/ha/status says *what* is: whatever happens to the service, its state is
 * fetched anew, one fetch at a time. Only a withdrawal acts by itself, at once: traffic must stop before the instance is
 * told to, and a fetch would be a round trip too late. An answer that was asked for before a withdrawal may still show
 * the instance as serving; it does not bring it back, only the next answer does. When no instance serves, those that
 * live and have served are named as doubtful. What serves without ever having passed the probe is named as unverified.
 *
 * While the supervisor is away the last list stays. That is what makes a supervisor that dies cost nothing.
 */
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import { z } from 'zod';

import { memberOf, type Member } from '../../domain/members.js';
import { messageOf } from '../../domain/errors.js';
import { fullJitterMs } from '../../lib/backoff.js';
import type { Clock, Discovery } from '../../ports.js';
import { EventStreamReader, type ServerEvent } from './eventStream.js';
import { MemberFeed } from './feed.js';
import { explainFailure, getJson } from './getJson.js';

export interface SupervisorOptions {
  /** `http://127.0.0.1:3000`. */
  readonly url: string;
  /** HA_API_TOKEN, where one is set. */
  readonly token: string | null;
  readonly service: string;
  readonly clock: Clock;
  readonly random: () => number;
  /** A stream without a sign of life for so long is given up; the supervisor sends one every 15 s. Default 40 000. */
  readonly silenceMs?: number;
  /** How often the state is fetched without being told. Default 30 000. */
  readonly resyncMs?: number;
}

/** Where instances listen. */
const INSTANCE_HOST = '127.0.0.1';
const STATUS_TIMEOUT_MS = 5_000;
/** Until the state is asked for again where it could not be had. */
const RETRY_MS = 1_000;
const BACKOFF = { baseMs: 200, capMs: 5_000 };

const statusAnswer = z.object({
  data: z.object({
    daemon: z.object({ state: z.string(), problem: z.string().nullable() }),
    services: z.array(
      z.object({
        name: z.string(),
        instances: z.array(
          z.object({
            pid: z.int().nullable(),
            port: z.int().min(1).max(65_535).nullable(),
            serving: z.boolean(),
            draining: z.boolean(),
            fitness: z.object({ kind: z.string(), cause: z.string().optional() }),
          }),
        ),
      }),
    ),
  }),
});
const withdrawal = z.object({
  data: z.object({ service: z.string(), instance: z.object({ port: z.int().nullable() }) }),
});

export class SupervisorDiscovery implements Discovery {
  readonly #options: SupervisorOptions;
  readonly #feed = new MemberFeed();
  readonly #abort = new AbortController();
  #stream: ClientRequest | null = null;
  #onGone: (id: string) => void = () => undefined;
  #failures = 0;
  #fetching = false;
  #fetchAgain = false;
  /** Ports withdrawn since the state was asked for. */
  readonly #withdrawn = new Set<number>();
  #cancelRetry: () => void = () => undefined;
  #cancelSilence: () => void = () => undefined;
  #cancelResync: () => void = () => undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  start(
    listener: (members: readonly Member[]) => void,
    onProblem: (problem: string) => void,
    onGone: (id: string) => void = () => undefined,
  ): void {
    this.#onGone = onGone;
    this.#feed.open(listener, onProblem);
    this.#follow();
  }

  close(): Promise<void> {
    this.#feed.close();
    this.#cancelRetry();
    this.#leaveStream();
    this.#abort.abort();
    return Promise.resolve();
  }

  #headers(): Record<string, string> {
    const { token } = this.#options;
    return token === null ? {} : { authorization: `Bearer ${token}` };
  }

  #follow(): void {
    const { url, service } = this.#options;
    const target = new URL('/api/ha/stream', url);
    target.searchParams.set('service', service);
    const stream = request(target, {
      agent: false,
      headers: { accept: 'text/event-stream', ...this.#headers() },
    });
    this.#stream = stream;
    this.#awaitSign(stream);
    stream.on('response', (answer) => this.#read(stream, answer));
    stream.on('error', (error) => this.#lost(stream, explainFailure(error, target)));
    stream.end();
  }

  #read(stream: ClientRequest, answer: IncomingMessage): void {
    answer.on('error', () => this.#lost(stream, 'the event stream broke off'));
    if (answer.statusCode !== 200) {
      answer.resume();
      const hint = answer.statusCode === 401 ? '; see haApiToken' : '';
      this.#lost(stream, `it answered ${answer.statusCode}${hint}`);
      return;
    }
    const reader = new EventStreamReader((event) => this.#heard(event));
    answer.setEncoding('utf8');
    answer.on('data', (chunk: string) => {
      if (stream !== this.#stream) return;
      this.#awaitSign(stream);
      try {
        reader.push(chunk);
      } catch (error) {
        this.#lost(stream, messageOf(error));
      }
    });
    answer.on('end', () => this.#lost(stream, 'it ended the event stream'));
    // Events that follow are newer than this state, or lead to another fetch.
    this.#fetch();
  }

  #heard({ type, data }: ServerEvent): void {
    if (type === 'instance.withdrawn' || type === 'instance.exited') {
      this.#withdraw(data, type === 'instance.exited');
    }
    this.#fetch();
  }

  #withdraw(data: string, gone: boolean): void {
    const parsed = withdrawal.safeParse(parseJson(data));
    if (!parsed.success || parsed.data.data.service !== this.#options.service) return;
    const { port } = parsed.data.data.instance;
    if (port !== null) this.#withdrawn.add(port);
    const { last } = this.#feed;
    if (last !== null) this.#feed.publish(last.filter((member) => member.port !== port));
    if (gone && port !== null) this.#onGone(memberOf(INSTANCE_HOST, port).id);
  }

  #fetch(): void {
    if (this.#fetching) this.#fetchAgain = true;
    else void this.#fetchNow();
  }

  async #fetchNow(): Promise<void> {
    const { clock, resyncMs = 30_000 } = this.#options;
    this.#cancelResync();
    this.#fetching = true;
    let nextMs = resyncMs;
    try {
      do {
        this.#fetchAgain = false;
        this.#withdrawn.clear();
        const members = await this.#servingNow();
        this.#feed.publish(members.filter(({ port }) => !this.#withdrawn.has(port)));
      } while (this.#fetchAgain);
      this.#failures = 0;
    } catch (error) {
      nextMs = Math.min(resyncMs, RETRY_MS);
      this.#feed.fail(`supervisor: ${messageOf(error)}`);
    }
    this.#fetching = false;
    if (this.#stream !== null) this.#cancelResync = clock.after(nextMs, () => this.#fetch());
  }

  /** @throws when there is no usable answer. */
  async #servingNow(): Promise<readonly Member[]> {
    const { url, service } = this.#options;
    const { status, body } = await getJson(new URL('/api/ha/status', url), {
      headers: this.#headers(),
      timeoutMs: STATUS_TIMEOUT_MS,
      signal: this.#abort.signal,
    });
    if (status !== 200) throw new Error(`GET /api/ha/status was answered with ${status}`);
    const parsed = statusAnswer.safeParse(body);
    if (!parsed.success) throw new Error('GET /api/ha/status was answered with something else than a status');
    const found = parsed.data.data.services.find(({ name }) => name === service);
    if (found === undefined) throw new Error(`it knows no service ${service}`);
    const { daemon } = parsed.data.data;
    // It sees nothing just now, or has not looked yet: what it shows is no reason to give anybody up.
    if (daemon.state !== 'connected') throw new Error(`PM2 is ${daemon.state}: ${daemon.problem ?? ''}`);
    const before = new Map(this.#feed.last?.map((member) => [member.port, member]));
    const alive = found.instances.flatMap(({ pid, port, serving, draining, fitness }) => {
      if (pid === null || port === null) return [];
      // A supervisor that was restarted has yet to verify what runs. Whom we know to serve goes on serving meanwhile.
      const known = before.get(port);
      const isUnjudged = fitness.kind === 'starting' && !draining && known !== undefined && !known.doubtful;
      const wasReady = !draining && fitness.kind !== 'starting' && fitness.cause !== 'not-ready';
      const isUnverified = serving ? fitness.kind === 'unverified' : isUnjudged && known.unverified === true;
      const member = memberOf(INSTANCE_HOST, port);
      const named = isUnverified ? { ...member, unverified: true as const } : member;
      return [{ member: named, isGood: serving || isUnjudged, wasReady }];
    });
    const good = alive.filter(({ isGood }) => isGood);
    if (good.length > 0) return good.map(({ member }) => member);
    // Nobody is well. Then all that have been are named, or the one that failed last would get everything alone.
    return alive
      .filter(({ wasReady }) => wasReady)
      .map(({ member }) => ({ ...member, doubtful: true as const }));
  }

  #awaitSign(stream: ClientRequest): void {
    const { clock, silenceMs = 40_000 } = this.#options;
    this.#cancelSilence();
    this.#cancelSilence = clock.after(silenceMs, () =>
      this.#lost(stream, `it has been silent for ${Math.round(silenceMs / 1000)} s`),
    );
  }

  /** Once per stream. */
  #lost(stream: ClientRequest, why: string): void {
    if (stream !== this.#stream) return;
    this.#leaveStream();
    if (!this.#feed.isOpen) return;
    this.#feed.fail(`supervisor: ${why}`);
    const { clock, random } = this.#options;
    const delayMs = BACKOFF.baseMs / 2 + fullJitterMs(this.#failures, BACKOFF, random);
    this.#failures += 1;
    this.#cancelRetry = clock.after(delayMs, () => this.#follow());
  }

  #leaveStream(): void {
    this.#cancelSilence();
    this.#cancelResync();
    const stream = this.#stream;
    this.#stream = null;
    stream?.destroy();
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
