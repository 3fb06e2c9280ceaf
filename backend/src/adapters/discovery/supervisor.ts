/**
 * Upstreams of one service from the supervisor: the instances that it announces as serving.
 *
 *   polling ──stream opened──▶ following ──stream lost──▶ polling
 *
 * While there is no stream (supervisorStream.ts tries on) the state is fetched every second, so that a failover is learnt
 * in time also where the supervisor has no place left for a stream; the list then says that it comes by polling.
 *
 * The event stream says *when* to look, GET /api/ha/status says *what* is: whatever happens to the service, its state is
 * fetched anew, one fetch at a time. Only a withdrawal acts by itself, at once: traffic must stop before the instance is
 * told to, and a fetch would be a round trip too late. An answer that was asked for before a withdrawal may still show
 * the instance as serving; it does not bring it back, only the next answer does. When no instance serves, those that
 * live and have served are named as doubtful. What serves without ever having passed the probe is named as unverified.
 * Notes go with the list: what the supervisor has found out about the service, and what is wrong with each instance that
 * takes no traffic.
 *
 * While the supervisor is away the last list stays. That is what makes a supervisor that dies cost nothing.
 */
import { z } from 'zod';

import { diagnosisText } from '../../domain/diagnosis/facts.js';
import { memberOf, type Member } from '../../domain/upstreams/members.js';
import { messageOf } from '../../domain/errors.js';
import type { Clock, Discovery, ListNotes, ProcessNews } from '../../ports.js';
import { SupervisorAgent, type SupervisorAddress } from '../supervisor/supervisorAgent.js';
import type { ServerEvent } from './eventStream.js';
import { MemberFeed } from './feed.js';
import { getJson } from './getJson.js';
import { refusalText, SupervisorStream } from './supervisorStream.js';

export interface SupervisorOptions {
  readonly supervisor: SupervisorAddress;
  readonly service: string;
  readonly clock: Clock;
  readonly random: () => number;
  /** A stream without a sign of life for so long is given up; the supervisor sends one every 15 s. Default 40 000. */
  readonly silenceMs?: number;
  /** How often the state is fetched while the stream tells of every change. Default 30 000. */
  readonly resyncMs?: number;
  /** How often it is fetched while there is no stream. Default 1 000. */
  readonly pollMs?: number;
}

/** Where instances listen, by a supervisor that does not say it. */
const INSTANCE_HOST = '127.0.0.1';
const STATUS_TIMEOUT_MS = 5_000;
/** Until the state is asked for again where it could not be had. */
const RETRY_MS = 1_000;
/** After so many attempts at a stream without success the list is said to come by polling. */
const FAILURES_TOLD = 2;

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
            host: z.string().default(INSTANCE_HOST),
            owner: z.object({ pid: z.int(), userIds: z.array(z.int()) }).nullish(),
            serving: z.boolean(),
            draining: z.boolean(),
            fitness: z.object({
              kind: z.string(),
              cause: z.string().optional(),
              detail: z.string().optional(),
            }),
          }),
        ),
        diagnosis: z.object({ what: z.string(), advice: z.string() }).nullish(),
      }),
    ),
  }),
});
type ServiceStatus = z.infer<typeof statusAnswer>['data']['services'][number];

const instanceEvent = z.object({
  data: z.object({ service: z.string(), instance: z.object({ port: z.int().nullable() }) }),
});

export class SupervisorDiscovery implements Discovery {
  readonly #options: SupervisorOptions;
  readonly #feed = new MemberFeed();
  readonly #abort = new AbortController();
  readonly #agent: SupervisorAgent;
  readonly #stream: SupervisorStream;
  /** Why there is no stream; '' while there is one. */
  #streamProblem = '';
  #onProcess: (id: string, news: ProcessNews) => void = () => undefined;
  #fetching = false;
  #fetchAgain = false;
  /** Of the last answer. */
  #notes: ListNotes | undefined;
  /** Ports withdrawn since the state was asked for. */
  readonly #withdrawn = new Set<number>();
  /** The last fetch gave no answer, and why is told. */
  #fetchFailed = false;
  #cancelNext: () => void = () => undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { supervisor, service, clock, random, silenceMs = 40_000 } = options;
    this.#agent = new SupervisorAgent(supervisor);
    const target = new URL('/api/ha/stream', supervisor.url);
    target.searchParams.set('service', service);
    this.#stream = new SupervisorStream({
      target,
      clock,
      random,
      silenceMs,
      agent: this.#agent,
      headers: this.#headers(),
      onOpen: () => this.#onStreamOpen(),
      onEvent: (event) => this.#heard(event),
      onLost: (why, refused) => this.#onStreamLost(why, refused),
    });
  }

  start(
    listener: (members: readonly Member[], notes?: ListNotes) => void,
    onProblem: (problem: string) => void,
    onProcess: (id: string, news: ProcessNews) => void = () => undefined,
  ): void {
    this.#onProcess = onProcess;
    this.#feed.open(listener, onProblem);
    this.#stream.start();
    this.#fetchAfter(this.#pollMs);
  }

  close(): Promise<void> {
    this.#feed.close();
    this.#cancelNext();
    this.#stream.close();
    this.#abort.abort();
    this.#agent.destroy();
    return Promise.resolve();
  }

  get #pollMs(): number {
    return this.#options.pollMs ?? 1_000;
  }

  #headers(): Record<string, string> {
    const { token } = this.#options.supervisor;
    return token === null ? {} : { authorization: `Bearer ${token}` };
  }

  #onStreamOpen(): void {
    this.#streamProblem = '';
    // Events that follow are newer than this state, or lead to another fetch.
    this.#fetch();
  }

  #onStreamLost(why: string, refused: boolean): void {
    const isNews = this.#streamProblem === '';
    this.#streamProblem = why;
    // What the fetches say counts from now on.
    if (isNews) this.#feed.fail(`supervisor: ${why}`);
    if (isNews && refused) this.#fetch();
    else if (isNews && !this.#fetching) this.#fetchAfter(this.#pollMs);
  }

  #heard({ type, data }: ServerEvent): void {
    const instance = this.#instanceIn(data);
    if (instance !== null) this.#heardOf(type, instance.port);
    this.#fetch();
  }

  /** @param port null: it has none, or another process has it. */
  #heardOf(type: string, port: number | null): void {
    const { last } = this.#feed;
    const known = last?.find((member) => member.port === port);
    const id = port === null ? null : (known ?? memberOf(INSTANCE_HOST, port)).id;
    if (type === 'instance.superseded' && id !== null) this.#onProcess(id, 'superseded');
    if (type !== 'instance.withdrawn' && type !== 'instance.exited') return;
    if (port !== null) this.#withdrawn.add(port);
    if (last !== null) {
      const rest = last.filter((member) => member.port !== port);
      this.#feed.publish(rest, null, this.#notes);
    }
    if (type === 'instance.exited' && id !== null) this.#onProcess(id, 'ended');
  }

  /** The instance of the service that an event tells of; null: none. */
  #instanceIn(data: string): { readonly port: number | null } | null {
    const parsed = instanceEvent.safeParse(parseJson(data));
    if (!parsed.success || parsed.data.data.service !== this.#options.service) return null;
    return parsed.data.data.instance;
  }

  #fetch(): void {
    if (this.#fetching) this.#fetchAgain = true;
    else void this.#fetchNow();
  }

  async #fetchNow(): Promise<void> {
    this.#cancelNext();
    this.#fetching = true;
    try {
      do {
        this.#fetchAgain = false;
        this.#withdrawn.clear();
        const service = await this.#statusNow();
        const members = this.#membersOf(service).filter(({ port }) => !this.#withdrawn.has(port));
        this.#notes = { ...notesOf(service), ...this.#pollingNote() };
        this.#fetchFailed = false;
        this.#feed.publish(members, null, this.#notes);
      } while (this.#fetchAgain);
    } catch (error) {
      this.#fetchFailed = true;
      this.#feed.fail(`supervisor: ${messageOf(error)}`);
    }
    this.#fetching = false;
    const { resyncMs = 30_000 } = this.#options;
    const pauseMs = this.#fetchFailed ? RETRY_MS : this.#stream.isOpen ? resyncMs : this.#pollMs;
    if (this.#feed.isOpen) this.#fetchAfter(Math.min(resyncMs, pauseMs));
  }

  #fetchAfter(pauseMs: number): void {
    this.#cancelNext();
    this.#cancelNext = this.#options.clock.after(pauseMs, () => this.#fetch());
  }

  #pollingNote(): Pick<ListNotes, 'polling'> {
    if (this.#stream.isOpen || this.#stream.failures < FAILURES_TOLD) return {};
    return { polling: this.#streamProblem };
  }

  /** @throws when there is no usable answer. */
  async #statusNow(): Promise<ServiceStatus> {
    const { supervisor, service } = this.#options;
    const { status, body } = await getJson(new URL('/api/ha/status', supervisor.url), {
      agent: this.#agent,
      headers: this.#headers(),
      timeoutMs: STATUS_TIMEOUT_MS,
      signal: this.#abort.signal,
    });
    if (status !== 200) throw new Error(refusalText(status));
    const parsed = statusAnswer.safeParse(body);
    if (!parsed.success) throw new Error('GET /api/ha/status was answered with something else than a status');
    const found = parsed.data.data.services.find(({ name }) => name === service);
    if (found === undefined) throw new Error(`it knows no service ${service}`);
    const { daemon } = parsed.data.data;
    // It sees nothing just now, or has not looked yet: what it shows is no reason to give anybody up.
    if (daemon.state !== 'connected') throw new Error(`PM2 is ${daemon.state}: ${daemon.problem ?? ''}`);
    return found;
  }

  #membersOf({ instances }: ServiceStatus): readonly Member[] {
    const before = new Map(this.#feed.last?.map((member) => [member.port, member]));
    const alive = instances.flatMap(({ pid, host, port, owner, serving, draining, fitness }) => {
      if (pid === null || port === null) return [];
      // A supervisor that was restarted has yet to verify what runs. Whom we know to serve goes on serving meanwhile.
      const known = before.get(port);
      const isUnjudged = fitness.kind === 'starting' && !draining && known !== undefined && !known.doubtful;
      const wasReady = !draining && fitness.kind !== 'starting' && fitness.cause !== 'not-ready';
      const isUnverified = serving ? fitness.kind === 'unverified' : isUnjudged && known.unverified === true;
      const member = owner ? { ...memberOf(host, port), owner } : memberOf(host, port);
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
}

function notesOf({ instances, diagnosis }: ServiceStatus): ListNotes {
  const faults = instances.flatMap(({ host, port, serving, fitness }): [string, string][] => {
    if (port === null || serving || fitness.kind !== 'unfit') return [];
    const { cause = 'unfit', detail = '' } = fitness;
    return [[memberOf(host, port).id, detail === '' ? cause : `${cause}: ${detail}`]];
  });
  return {
    reason: diagnosis === undefined || diagnosis === null ? null : diagnosisText(diagnosis),
    faults: new Map(faults),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
