/**
 * Tells the supervisor what happens to its instances: twice a second, and at once when one of them is drained. One
 * report at a time; a supervisor that is slow or away costs one open request, and its return is noticed at the next.
 */
import type { GatewaySnapshot } from '../../domain/upstreams/pool.js';
import { percentilesOf } from '../../domain/statistics/histogram.js';
import { reported } from '../../domain/statistics/traffic.js';
import type { TrafficReport, UpstreamTraffic } from '../../domain/statistics/traffic.js';
import { errorsOf, requestsOf } from '../../domain/statistics/trafficCounters.js';
import { upstreamKey } from '../../domain/statistics/trafficLedger.js';
import type { TrafficLedger } from '../../domain/statistics/trafficLedger.js';
import type { Clock, Logger, SupervisorLink } from '../../ports.js';

export interface ReporterOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly link: SupervisorLink;
  /** `<host>:<pid>`. */
  readonly gateway: string;
  readonly ledger: TrafficLedger;
  readonly snapshot: () => GatewaySnapshot;
  readonly workers: () => number;
  readonly isDrained: (key: string) => boolean;
}

const INTERVAL_MS = 500;
/** Figures look back this far. */
const WINDOW_MS = 10_000;

export class Reporter {
  readonly #options: ReporterOptions;
  #cancel: () => void = () => undefined;
  #sending: Promise<void> | null = null;
  #again = false;
  #closed = false;
  #isConnected: boolean | null = null;

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  start(): void {
    this.now();
  }

  /** Reports now, or right after the report that is under way. */
  now(): void {
    if (this.#closed) return;
    if (this.#sending !== null) {
      this.#again = true;
      return;
    }
    this.#cancel();
    this.#sending = this.#send(this.report(false)).then(() => {
      this.#sending = null;
      if (this.#closed) return;
      if (this.#again) {
        this.#again = false;
        this.now();
        return;
      }
      this.#cancel = this.#options.clock.after(INTERVAL_MS, () => this.now());
    });
  }

  /** Says goodbye, so that nobody waits for this gateway. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    await this.#sending;
    if (this.#isConnected === true) await this.#send(this.report(true));
    await this.#options.link.close();
  }

  /** What would be reported now. */
  report(leaving: boolean): TrafficReport {
    const { gateway, workers, snapshot } = this.#options;
    const rows = snapshot().pools.flatMap((pool) =>
      pool.upstreams.map((upstream) => this.#row(pool.name, upstream)),
    );
    return { gateway, workers: workers(), leaving, ...reported(leaving ? [] : rows) };
  }

  #row(
    pool: string,
    { id, host, port, state }: GatewaySnapshot['pools'][number]['upstreams'][number],
  ): UpstreamTraffic {
    const { ledger, clock, isDrained } = this.#options;
    const { counters, elapsedMs } = ledger.upstreamLately(pool, id, clock.nowMs(), WINDOW_MS);
    const requests = requestsOf(counters);
    const drained = state === 'draining' && isDrained(upstreamKey(pool, id));
    return {
      host,
      port,
      state,
      inFlight: drained ? 0 : ledger.gauges(pool, id).inFlight,
      drained,
      throughputPerSecond: elapsedMs === 0 ? 0 : (requests * 1_000) / elapsedMs,
      errorRate: requests === 0 ? null : Math.min(1, errorsOf(counters) / requests),
      responseTimeMs: percentilesOf(counters.latency),
    };
  }

  async #send(report: TrafficReport): Promise<void> {
    const { link, logger } = this.#options;
    const problem = await link.report(report);
    if ((problem === null) === this.#isConnected) return;
    this.#isConnected = problem === null;
    if (problem === null) logger.info('the supervisor takes our reports');
    else logger.warn('the supervisor does not take our reports; traffic goes on', { problem });
  }
}
