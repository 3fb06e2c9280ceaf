/**
 * Traffic at a steady rate, to every instance that is announced as serving and to no other: what a proxy in front of
 * them would do. The rate does not drop when answers are slow (an "open" load), so a stall costs as many requests as
 * it would cost users.
 *
 * A request that fails is a loss. Only one kind is set apart: a request on an instance that the test itself killed or
 * hung, until the supervisor withdraws that instance. Without a proxy that tries again elsewhere nothing can save it.
 */
import { Agent, get } from 'node:http';
import { messageOf } from '../../domain/errors.js';
import type { EventRecord } from '../../domain/events.js';
import type { InstanceRef, ServiceView } from '../../domain/model.js';
import type { ApiClient } from '../apiClient.js';

const INTERVAL_MS = 10;
const REQUEST_TIMEOUT_MS = 5_000;
/** More would measure this machine, not the deployment; what is not sent is counted. */
const MAX_IN_FLIGHT = 500;
/** Every n-th request is a slow one, so that something is in flight whenever an instance is stopped. */
const SLOW_EVERY = 10;
const MAX_LOSSES_KEPT = 20;

interface Target {
  readonly pmId: number;
  readonly port: number;
  /** Set by the test before it kills or hangs the instance. */
  isVictim: boolean;
}

export interface TrafficFigures {
  readonly answered: number;
  readonly lost: number;
  /** What the first losses were. */
  readonly losses: readonly string[];
  readonly lostOnVictims: number;
  /** Not sent, because too many were in flight already. */
  readonly withheld: number;
  /** Time with nothing announced as serving. */
  readonly nobodyServedMs: number;
}

export interface TrafficOptions {
  readonly service: string;
  readonly path: string;
  /** null: the service has no fault switches, all requests are quick ones. */
  readonly slowPath: string | null;
}

export class Traffic {
  readonly #options: TrafficOptions;
  readonly #targets = new Map<number, Target>();
  readonly #agent = new Agent({ keepAlive: true, maxFreeSockets: 16 });
  readonly #stopFollowing = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #lastTickMs = 0;
  #sent = 0;
  #inFlight = 0;
  #figures = fresh();

  constructor(options: TrafficOptions) {
    this.#options = options;
  }

  /** Follows the announcements, then begins to send. `onLost` is told when the announcements end by themselves. */
  async start(
    api: ApiClient,
    current: () => Promise<ServiceView>,
    onLost: (problem: string) => void,
  ): Promise<void> {
    const events = await api.events(this.#stopFollowing.signal);
    const service = await current();
    for (const { serving, pmId, port } of service.instances) if (serving) this.#announce({ pmId, port });
    void this.#follow(events, onLost);
    this.#lastTickMs = performance.now();
    this.#timer = setInterval(() => this.#tick(), INTERVAL_MS);
  }

  /** Stops sending, waits for what is in flight, and lets go of every connection. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopFollowing.abort();
    const deadline = performance.now() + REQUEST_TIMEOUT_MS + 1_000;
    while (this.#inFlight > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
    }
    this.#agent.destroy();
  }

  /** From now on failures on this instance are the test's own doing, until it is announced anew. */
  condemn(pmId: number): void {
    const target = this.#targets.get(pmId);
    if (target !== undefined) target.isVictim = true;
  }

  /** The figures since the last call. */
  take(): TrafficFigures {
    const figures = this.#figures;
    this.#figures = fresh();
    return figures;
  }

  async #follow(events: AsyncIterable<EventRecord>, onLost: (problem: string) => void): Promise<void> {
    try {
      for await (const event of events) this.#apply(event);
      if (!this.#stopFollowing.signal.aborted) onLost('the stream of events ended');
    } catch (error) {
      if (!this.#stopFollowing.signal.aborted) onLost(`the stream of events broke: ${messageOf(error)}`);
    }
  }

  #apply({ type, service, data }: EventRecord): void {
    if (service !== this.#options.service || !('instance' in data)) return;
    if (type === 'instance.serving') this.#announce(data.instance);
    else if (type === 'instance.withdrawn' || type === 'instance.exited' || type === 'instance.stopped') {
      this.#targets.delete(data.instance.pmId);
    }
  }

  #announce({ pmId, port }: Pick<InstanceRef, 'pmId' | 'port'>): void {
    if (port !== null) this.#targets.set(pmId, { pmId, port, isVictim: false });
  }

  #tick(): void {
    const now = performance.now();
    const targets = [...this.#targets.values()];
    const target = targets[this.#sent % targets.length];
    if (target === undefined) this.#figures.nobodyServedMs += now - this.#lastTickMs;
    else if (this.#inFlight >= MAX_IN_FLIGHT) this.#figures.withheld += 1;
    else this.#send(target);
    this.#lastTickMs = now;
  }

  #send(target: Target): void {
    this.#sent += 1;
    this.#inFlight += 1;
    const { path, slowPath } = this.#options;
    const wanted = slowPath !== null && this.#sent % SLOW_EVERY === 0 ? slowPath : path;
    let isSettled = false;
    const settle = (problem: string | null): void => {
      if (isSettled) return;
      isSettled = true;
      this.#inFlight -= 1;
      this.#count(target, problem);
    };
    const request = get(
      { host: '127.0.0.1', port: target.port, path: wanted, agent: this.#agent },
      (response) => {
        const status = response.statusCode ?? 0;
        response.resume();
        response.once('error', (error) => settle(messageOf(error)));
        response.once('end', () => settle(status >= 500 ? `HTTP ${status}` : null));
        // Comes after `end` when the answer was whole.
        response.once('close', () => settle('the answer broke off'));
      },
    );
    // The whole exchange, not the silence between two bytes.
    const timer = setTimeout(
      () => request.destroy(new Error(`no answer in ${REQUEST_TIMEOUT_MS / 1_000} s`)),
      REQUEST_TIMEOUT_MS,
    );
    request.once('error', (error) => settle(messageOf(error)));
    request.once('close', () => {
      clearTimeout(timer);
      settle('the connection closed without an answer');
    });
  }

  #count(target: Target, problem: string | null): void {
    if (problem === null) {
      this.#figures.answered += 1;
    } else if (target.isVictim) {
      this.#figures.lostOnVictims += 1;
    } else {
      this.#figures.lost += 1;
      if (this.#figures.losses.length < MAX_LOSSES_KEPT) {
        this.#figures.losses.push(`#${target.pmId} (port ${target.port}): ${problem}`);
      }
    }
  }
}

function fresh() {
  return { answered: 0, lost: 0, losses: [] as string[], lostOnVictims: 0, withheld: 0, nobodyServedMs: 0 };
}
