/** The restarts of one service that PM2 made by itself or for an operator (domain/failures/restarts.ts). */
import { isAlive } from '../../domain/model.js';
import type { InstanceId, ManagedProcess } from '../../domain/model.js';
import { describeLoop, RESTART_LOOP_MS, restartLoop } from '../../domain/failures/restarts.js';
import type { Restart, RestartCause } from '../../domain/failures/restarts.js';
import { RingBuffer } from '../../lib/ringBuffer.js';
import type { Clock } from '../../ports.js';

/** Of all instances of a service. */
const KEPT = 500;

interface Seen {
  readonly startedAtMs: number;
  readonly createdAtMs: number;
}

export class Pm2Restarts {
  readonly #clock: Clock;
  /** By number, what was listed last. */
  #seen: ReadonlyMap<number, Seen> = new Map();
  /** By number: PM2 said that it is about to restart it. */
  readonly #causes = new Map<number, { readonly cause: RestartCause; readonly atMs: number }>();
  /** By number, the process before the one that runs, and why PM2 restarted it. */
  readonly #former = new Map<number, { readonly startedAtMs: number; readonly cause: RestartCause | null }>();
  readonly #restarts = new RingBuffer<Restart>(KEPT);
  #isTold = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** PM2 said why it is about to restart that one. */
  note({ pmId, cause }: Pick<Restart, 'pmId'> & { readonly cause: RestartCause }): void {
    this.#causes.set(pmId, { cause, atMs: this.#clock.nowMs() });
  }

  /** Why PM2 ended that one, or is ending it just now; null where it did not say. */
  causeOf({ pmId, startedAtMs }: Pick<InstanceId, 'pmId' | 'startedAtMs'>): RestartCause | null {
    const former = this.#former.get(pmId);
    if (former?.startedAtMs === startedAtMs) return former.cause;
    const announced = this.#causes.get(pmId);
    if (announced === undefined || this.#clock.nowMs() - announced.atMs >= RESTART_LOOP_MS) return null;
    return announced.cause;
  }

  /**
   * Takes notice of a list. A process that PM2 restarts on request, also its own, counts as created anew; one that it
   * starts again because it ended does not.
   */
  see(processes: readonly ManagedProcess[], newDaemon: boolean): void {
    const before = newDaemon ? new Map<number, Seen>() : this.#seen;
    const running = processes.filter(isAlive);
    for (const { pmId, startedAtMs, createdAtMs } of running) {
      const known = before.get(pmId);
      if (known === undefined || known.startedAtMs === startedAtMs || known.createdAtMs === createdAtMs)
        continue;
      const cause = this.causeOf({ pmId, startedAtMs: known.startedAtMs });
      this.#restarts.push({ pmId, atMs: this.#clock.nowMs(), cause });
      this.#former.set(pmId, { startedAtMs: known.startedAtMs, cause });
      this.#causes.delete(pmId);
    }
    const listed = new Set(processes.map(({ pmId }) => pmId));
    for (const kept of [this.#causes, this.#former])
      for (const pmId of kept.keys()) if (!listed.has(pmId)) kept.delete(pmId);
    // One that is stopped for a moment in between is still the one that ran.
    const stopped = [...before].filter(([pmId]) => listed.has(pmId));
    this.#seen = new Map([...stopped, ...running.map((process) => [process.pmId, process] as const)]);
  }

  /** What is restarted over and over, and what to do, a sentence or two; null: nothing is. */
  loop(processes: readonly ManagedProcess[]): string | null {
    const loop = restartLoop(this.#restarts.toArray(), this.#clock.nowMs());
    if (loop === null) return null;
    const process = processes.find(({ pmId }) => pmId === loop.pmId);
    return process === undefined ? null : describeLoop(loop, process.endRules?.schedule ?? null);
  }

  /** The same, once for as long as it lasts. */
  news(processes: readonly ManagedProcess[]): string | null {
    const loop = this.loop(processes);
    const isNews = loop !== null && !this.#isTold;
    this.#isTold = loop !== null;
    return isNews ? loop : null;
  }
}
