/**
 * Finds live processes of ours that PM2 does not list and ends them: ghosts at once when seen twice, orphans of a dead
 * daemon (which may be the only ones that still serve) once their service is whole again, or after a patience: they may
 * have what their replacements need, such as a port. While management is off nothing replaces them, and they stay.
 */
import { messageOf } from '../../domain/errors.js';
import type { StrayProcess } from '../../domain/model.js';
import type { Clock, Logger, ProcessManager } from '../../ports.js';
import type { EventLog } from '../events/eventLog.js';
import type { SupervisedService } from '../service/supervisedService.js';

export interface StrayWatchOptions {
  readonly manager: ProcessManager;
  readonly clock: Clock;
  readonly events: EventLog;
  readonly logger: Logger;
  readonly find: (service: string) => SupervisedService | undefined;
}

/** Between two scans of the process table while there is nothing to suspect. */
const SCAN_INTERVAL_MS = 15_000;
/** While strays are known. */
const FOLLOW_UP_MS = 1_000;
/** A ghost seen for this long was not just being started or stopped. */
const GHOST_GRACE_MS = 3_000;
/** While management is on, an orphan goes after this long even if its service never became whole. */
const ORPHAN_PATIENCE_MS = 60_000;

export class StrayWatch {
  readonly #options: StrayWatchOptions;
  /** First seen (Clock.nowMs), by pid and start. */
  #seen = new Map<string, number>();
  #nextScanMs = 0;
  #scanning = false;

  constructor(options: StrayWatchOptions) {
    this.#options = options;
  }

  /** Scan at the next opportunity: the daemon changed, or the supervisor has just started. */
  suspect(): void {
    this.#nextScanMs = 0;
  }

  /**
   * Never rejects; does nothing when no scan is due or one is under way.
   * @param isManaging whether services are made whole again.
   */
  async review(isManaging: boolean): Promise<void> {
    const { clock, manager, logger } = this.#options;
    if (this.#scanning || clock.nowMs() < this.#nextScanMs) return;
    this.#scanning = true;
    this.#nextScanMs = Number.POSITIVE_INFINITY;
    try {
      const strays = await manager.findStrays();
      const seen = new Map<string, number>();
      for (const stray of strays) {
        const key = `${stray.pid}@${stray.pidStartTicks}`;
        // What is to replace an orphan has its time from when management is on.
        const isCounted = isManaging || stray.kind === 'ghost';
        const sinceMs = (isCounted ? this.#seen.get(key) : undefined) ?? clock.nowMs();
        const isDone = this.#mayEnd(stray, clock.nowMs() - sinceMs) && (await this.#end(stray));
        if (!isDone) seen.set(key, sinceMs);
      }
      this.#seen = seen;
    } catch (thrown) {
      logger.debug('no look at stray processes', { problem: messageOf(thrown) });
    } finally {
      this.#scanning = false;
      const pauseMs = this.#seen.size > 0 ? FOLLOW_UP_MS : SCAN_INTERVAL_MS;
      // Whoever became suspicious during the scan has asked for another one.
      this.#nextScanMs = Math.min(this.#nextScanMs, clock.nowMs() + pauseMs);
    }
  }

  #mayEnd(stray: StrayProcess, seenForMs: number): boolean {
    const service = this.#options.find(stray.service);
    if (service === undefined || service.letGo !== null) return false;
    if (stray.kind === 'ghost') return seenForMs >= GHOST_GRACE_MS;
    const isWhole = service.adopted && service.settledServing().length >= service.desired;
    return isWhole || seenForMs >= ORPHAN_PATIENCE_MS;
  }

  /** False when it could not be ended; the others are not kept waiting for it. */
  async #end(stray: StrayProcess): Promise<boolean> {
    const { manager, events, logger } = this.#options;
    const { service, pid, kind } = stray;
    try {
      if (await manager.endStray(stray)) events.emit('stray.ended', { service, pid, kind });
      return true;
    } catch (thrown) {
      logger.warn('a stray process could not be ended', { service, pid, problem: messageOf(thrown) });
      return false;
    }
  }
}
