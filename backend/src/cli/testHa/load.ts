/**
 * Requests at a steady rate. It does not drop when answers are slow (an "open" load), so a stall costs as many requests
 * as it would cost users. What it is sent to is somebody else's choice, for each request anew.
 *
 * A request that fails is a loss: no answer, a broken or a late one, or HTTP 5xx. Only what meets a target that the test
 * itself disturbs is set apart, until that target is announced anew.
 */
import { Agent, get } from 'node:http';
import { messageOf } from '../../domain/errors.js';

const INTERVAL_MS = 10;
/** More would measure this machine, not the deployment; what is not sent is counted. */
const MAX_IN_FLIGHT = 500;
/** Every n-th request is a slow one, so that something is in flight whenever an instance is stopped. */
const SLOW_EVERY = 10;
const MAX_LOSSES_KEPT = 20;

export interface Target {
  /** As people are told: "#3 (port 13004)". */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** The test kills or hangs it. */
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
  /** Time with nobody to send to. */
  readonly nobodyServedMs: number;
  /** The slowest answer. */
  readonly slowestMs: number;
}

export interface LoadOptions {
  readonly path: string;
  /** null: all requests are quick ones. */
  readonly slowPath: string | null;
  /** How long an answer may take; later it is lost. */
  readonly patienceMs: number;
  /** Who gets the next one; undefined: there is nobody. `sent` counts those before. */
  readonly next: (sent: number) => Target | undefined;
}

export class Load {
  readonly #options: LoadOptions;
  readonly #agent = new Agent({ keepAlive: true, maxFreeSockets: 16 });
  #timer: NodeJS.Timeout | undefined;
  #lastTickMs = 0;
  #sent = 0;
  #inFlight = 0;
  #figures = fresh();

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  start(): void {
    this.#lastTickMs = performance.now();
    this.#timer = setInterval(() => this.#tick(), INTERVAL_MS);
  }

  /** Stops sending, waits for what is in flight, and lets go of every connection. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    const deadline = performance.now() + this.#options.patienceMs + 1_000;
    while (this.#inFlight > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
    }
    this.#agent.destroy();
  }

  /** The figures since the last call. */
  take(): TrafficFigures {
    const figures = this.#figures;
    this.#figures = fresh();
    return figures;
  }

  #tick(): void {
    const now = performance.now();
    const target = this.#options.next(this.#sent);
    if (target === undefined) this.#figures.nobodyServedMs += now - this.#lastTickMs;
    else if (this.#inFlight >= MAX_IN_FLIGHT) this.#figures.withheld += 1;
    else this.#send(target, now);
    this.#lastTickMs = now;
  }

  #send(target: Target, sentMs: number): void {
    this.#sent += 1;
    this.#inFlight += 1;
    const { path, slowPath, patienceMs } = this.#options;
    const wanted = slowPath !== null && this.#sent % SLOW_EVERY === 0 ? slowPath : path;
    let isSettled = false;
    const settle = (problem: string | null): void => {
      if (isSettled) return;
      isSettled = true;
      this.#inFlight -= 1;
      this.#count(target, problem, performance.now() - sentMs);
    };
    const { host, port } = target;
    const request = get({ host, port, path: wanted, agent: this.#agent }, (response) => {
      const status = response.statusCode ?? 0;
      response.resume();
      response.once('error', (error) => settle(messageOf(error)));
      response.once('end', () => settle(status >= 500 ? `HTTP ${status}` : null));
      // Comes after `end` when the answer was whole.
      response.once('close', () => settle('the answer broke off'));
    });
    // The whole exchange, not the silence between two bytes.
    const timer = setTimeout(
      () => request.destroy(new Error(`no answer in ${patienceMs / 1_000} s`)),
      patienceMs,
    );
    request.once('error', (error) => settle(messageOf(error)));
    request.once('close', () => {
      clearTimeout(timer);
      settle('the connection closed without an answer');
    });
  }

  #count(target: Target, problem: string | null, tookMs: number): void {
    const figures = this.#figures;
    if (problem === null) {
      figures.answered += 1;
      figures.slowestMs = Math.max(figures.slowestMs, tookMs);
    } else if (target.isVictim) {
      figures.lostOnVictims += 1;
    } else {
      figures.lost += 1;
      if (figures.losses.length < MAX_LOSSES_KEPT) figures.losses.push(`${target.name}: ${problem}`);
    }
  }
}

function fresh() {
  return {
    answered: 0,
    lost: 0,
    losses: [] as string[],
    lostOnVictims: 0,
    withheld: 0,
    nobodyServedMs: 0,
    slowestMs: 0,
  };
}
