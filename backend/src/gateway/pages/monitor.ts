/**
 * What the primary knows about itself and its traffic, ready to be shown. It looks once a second:
 *
 *   worker reports ─▶ ledger ─┐
 *   facts of the primary ─────┼─▶ each second: changes, history of two minutes, the day of each service
 *                             └─▶ whenever asked: status, public status
 *
 * The day of each service is saved every minute and at the end, so that a restart loses no more than a minute; the
 * time in between is nobody's: it counts neither as up nor as down.
 */
import {
  MOST_SERVICES,
  addSample,
  forgetOld,
  restoreDay,
  slotsOfDay,
  type AvailabilityDay,
} from '../../domain/statistics/availabilitySlots.js';
import { messageOf } from '../../domain/errors.js';
import type { WorkerStats } from '../../domain/statistics/gatewayStats.js';
import { upstreamKey, TrafficLedger } from '../../domain/statistics/trafficLedger.js';
import { sumOfAnswers } from '../../domain/statistics/trafficCounters.js';
import { rounded } from '../../lib/numbers.js';
import { RingBuffer } from '../../lib/ringBuffer.js';
import type { Clock, Logger, StateStore } from '../../ports.js';
import { changesBetween, eachUpstream, sceneOf, type Scene } from './changes.js';
import type { GatewayFacts } from './facts.js';
import type { PublicStatus } from './publicPage.js';
import { buildStatus, poolCondition } from './statusBuilder.js';
import type { Change, GatewayStatus } from './statusSchema.js';

const LOOK_MS = 1_000;
const SAVE_MS = 60_000;
/** A longer gap between two looks was not watched: the process was suspended. */
const MOST_WATCHED_MS = 15_000;
const HISTORY_POINTS = 120;
const MOST_CHANGES = 50;

export interface MonitorOptions {
  readonly clock: Clock;
  /** What the primary knows now. Cheap; never throws. */
  readonly facts: () => GatewayFacts;
  /** Keeps the day of each service. */
  readonly store: StateStore;
  readonly logger: Logger;
}

export class GatewayMonitor {
  readonly ledger = new TrafficLedger();
  readonly #options: MonitorOptions;
  readonly #requests = new RingBuffer<number>(HISTORY_POINTS);
  readonly #errors = new RingBuffer<number>(HISTORY_POINTS);
  readonly #changes = new RingBuffer<Change>(MOST_CHANGES);
  #cancelLook: (() => void) | null = null;
  #scene: Scene | null = null;
  #day: AvailabilityDay = {};
  #lookedAtMs: number;
  #savedAtMs: number;
  #countedSinceMs: number;
  #answersSeen = 0;
  #errorsSeen = 0;
  #saveFailing = false;

  constructor(options: MonitorOptions) {
    this.#options = options;
    this.#lookedAtMs = options.clock.nowMs();
    this.#savedAtMs = this.#lookedAtMs;
    this.#countedSinceMs = options.clock.wallMs();
  }

  /** Reads the day that was saved and begins to look. Never rejects. */
  async start(): Promise<void> {
    const { store, logger, clock } = this.#options;
    try {
      const { state, damaged } = await store.load();
      if (damaged !== undefined) logger.warn('the availability of the last day was damaged', { ...damaged });
      this.#day = restoreDay(state, clock.wallMs());
    } catch (error) {
      logger.warn('the availability of the last day cannot be read', { problem: messageOf(error) });
    }
    this.#lookedAtMs = clock.nowMs();
    this.#scheduleLook();
  }

  /** Stops looking and saves the day. Never rejects. */
  async stop(): Promise<void> {
    this.#cancelLook?.();
    this.#cancelLook = null;
    this.look();
    await this.#save();
  }

  /** What a worker counted; `workerId` is unique to one start of one worker. */
  report(workerId: number, stats: WorkerStats): void {
    this.ledger.report(workerId, stats, this.#options.clock.nowMs());
  }

  workerGone(workerId: number): void {
    this.ledger.workerGone(workerId);
  }

  /** Looks now; also right after the primary changed something, so that a short change is not missed. */
  look(): void {
    const { clock, facts: askFacts } = this.#options;
    const facts = askFacts();
    const nowMs = clock.nowMs();
    const elapsedMs = nowMs - this.#lookedAtMs;
    this.#noteChanges(facts);
    // Between two regular looks only changes are noted: a point of the history stands for a second.
    if (elapsedMs < LOOK_MS / 2) return;
    this.#lookedAtMs = nowMs;
    this.#notePoint(elapsedMs);
    if (elapsedMs <= MOST_WATCHED_MS) this.#noteConditions(facts, elapsedMs / 1_000);
    this.ledger.retain(
      new Set(eachUpstream(facts.snapshot, (pool, { id }) => upstreamKey(pool.name, id))),
      new Set(facts.snapshot.pools.map(({ name }) => name)),
    );
    if (nowMs - this.#savedAtMs >= SAVE_MS) void this.#save();
  }

  /** Figures for people count from now on; totals, and Prometheus's counters, grow on. @returns since when, ISO 8601. */
  resetFigures(): string {
    this.ledger.begin();
    this.#countedSinceMs = this.#options.clock.wallMs();
    const at = new Date(this.#countedSinceMs).toISOString();
    this.#changes.push({ at, tone: 'neutral', text: 'The figures were reset' });
    this.#options.logger.info('the figures of the gateway were reset');
    return at;
  }

  status(): GatewayStatus {
    const { clock, facts } = this.#options;
    return buildStatus({
      facts: facts(),
      ledger: this.ledger,
      history: {
        stepMs: LOOK_MS,
        requestsPerSecond: this.#requests.toArray().map((value) => rounded(value, 2)),
        errorsPerSecond: this.#errors.toArray().map((value) => rounded(value, 2)),
      },
      changes: this.#changes.toArray().reverse(),
      countedSinceMs: this.#countedSinceMs,
      nowMs: clock.nowMs(),
      wallMs: clock.wallMs(),
    });
  }

  /** What everybody may know. */
  publicStatus(): PublicStatus {
    const { clock, facts } = this.#options;
    const nowMs = clock.nowMs();
    const wallMs = clock.wallMs();
    const known = facts();
    return {
      wallMs,
      services: known.snapshot.pools.map((pool) => ({
        name: pool.name,
        condition: poolCondition(pool, known, this.ledger, nowMs),
        slots: slotsOfDay(this.#day[pool.name] ?? [], wallMs),
      })),
    };
  }

  #scheduleLook(): void {
    this.#cancelLook = this.#options.clock.after(LOOK_MS, () => {
      this.look();
      this.#scheduleLook();
    });
  }

  #noteChanges(facts: GatewayFacts): void {
    const scene = sceneOf(facts, this.ledger);
    const at = new Date(this.#options.clock.wallMs()).toISOString();
    if (this.#scene !== null) {
      for (const note of changesBetween(this.#scene, scene)) this.#changes.push({ at, ...note });
    }
    this.#scene = scene;
  }

  #notePoint(elapsedMs: number): void {
    const { answers } = this.ledger.clients;
    const all = sumOfAnswers(answers);
    this.#requests.push(((all - this.#answersSeen) * 1_000) / elapsedMs);
    this.#errors.push(((answers[4] - this.#errorsSeen) * 1_000) / elapsedMs);
    this.#answersSeen = all;
    this.#errorsSeen = answers[4];
  }

  #noteConditions(facts: GatewayFacts, seconds: number): void {
    const { clock } = this.#options;
    const nowMs = clock.nowMs();
    const wallMs = clock.wallMs();
    const sampled = facts.snapshot.pools.slice(0, MOST_SERVICES).map((pool) => {
      const condition = poolCondition(pool, facts, this.ledger, nowMs);
      return [pool.name, addSample(this.#day[pool.name] ?? [], wallMs, condition, seconds)] as const;
    });
    this.#day = { ...this.#day, ...Object.fromEntries(sampled) };
  }

  async #save(): Promise<void> {
    const { clock, store, logger } = this.#options;
    this.#savedAtMs = clock.nowMs();
    this.#day = forgetOld(this.#day, clock.wallMs());
    try {
      await store.save(this.#day);
      this.#saveFailing = false;
    } catch (error) {
      if (!this.#saveFailing) {
        logger.warn('the availability of the last day cannot be saved', { problem: messageOf(error) });
      }
      this.#saveFailing = true;
    }
  }
}
