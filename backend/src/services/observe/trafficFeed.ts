/**
 * What gateways report of real traffic: the latest report of each, forgotten after a few seconds of silence, so that
 * a gateway that died neither holds up a stop nor leaves stale figures. Bounded: so many gateways, so many upstreams.
 * Gateways that are known (the private socket, or the token) have places of their own, and their names: reports under
 * invented names, which any process of this machine may send where no token is set, neither fill these places nor take
 * a name.
 *
 *   unknown ──report──▶ live ──silence──▶ forgotten (`gateway.silent`)
 *                        └──last report says it leaves──▶ forgotten (`gateway.left`)
 *
 * Gateways and instances are matched by port on this machine: that is what both sides know.
 */
import { combineTraffic, isOnThisMachine } from '../../domain/statistics/traffic.js';
import type { TrafficFigures, TrafficReport, UpstreamTraffic } from '../../domain/statistics/traffic.js';
import type { GatewayView } from '../../domain/views/controlPlane.js';
import type { Clock } from '../../ports.js';
import type { EventLog } from '../events/eventLog.js';

export interface TrafficFeedOptions {
  readonly clock: Clock;
  readonly events: EventLog;
  /** A gateway says, or its silence means, that nothing is under way at this port; called per report. */
  readonly onDrained: (port: number) => void;
}

interface Gateway {
  readonly report: TrafficReport;
  /** Its reports come over the private socket, or with the token. */
  readonly isKnown: boolean;
  /** It was told of. */
  readonly isConnected: boolean;
  readonly byPort: ReadonlyMap<number, UpstreamTraffic>;
  readonly atMs: number;
  readonly atWallMs: number;
  readonly cancelExpiry: () => void;
}

/** Ten missed reports. */
export const SILENCE_MS = 5_000;
/** Of those that are known, and of the others. */
export const MOST_GATEWAYS = 16;

export class TrafficFeed {
  readonly #options: TrafficFeedOptions;
  readonly #gateways = new Map<string, Gateway>();

  constructor(options: TrafficFeedOptions) {
    this.#options = options;
  }

  /**
   * Takes a report in.
   * @param isKnown whether it came over the private socket, or with the token.
   * @returns false: it is not listened to, because there are too many, or because its name is that of a known one.
   */
  accept(report: TrafficReport, isKnown: boolean): boolean {
    const { clock, events, onDrained } = this.#options;
    const before = this.#gateways.get(report.gateway);
    if (before !== undefined && before.isKnown && !isKnown) return false;
    if (before?.isKnown !== isKnown && this.#count(isKnown) >= MOST_GATEWAYS) return false;
    before?.cancelExpiry();
    if (report.leaving) {
      this.#gateways.delete(report.gateway);
      if (before !== undefined) events.emit('gateway.left', { gateway: report.gateway });
      for (const port of before?.byPort.keys() ?? []) onDrained(port);
      return true;
    }
    // At its start workers come one after the other: it is connected with as many as two reports agree on.
    const isConnected =
      before?.isConnected === true || (report.workers > 0 && before?.report.workers === report.workers);
    const here = report.upstreams.filter(({ host }) => isOnThisMachine(host));
    this.#gateways.set(report.gateway, {
      report,
      isKnown,
      isConnected,
      byPort: new Map(here.map((upstream) => [upstream.port, upstream])),
      atMs: clock.nowMs(),
      atWallMs: clock.wallMs(),
      cancelExpiry: clock.after(SILENCE_MS, () => this.#expire(report.gateway)),
    });
    if (isConnected && before?.isConnected !== true) {
      events.emit('gateway.connected', { gateway: report.gateway, workers: report.workers });
    }
    const busy = new Set(here.filter(({ drained }) => !drained).map(({ port }) => port));
    // What a whole report does not list any more has left; a cut one may have left it out.
    const former = report.cut === true ? [] : (before?.byPort.keys() ?? []);
    const mentioned = [...former, ...here.map(({ port }) => port)];
    for (const port of new Set(mentioned)) if (!busy.has(port)) onDrained(port);
    return true;
  }

  /** Figures of real traffic to that port; null when no live gateway knows it. */
  figures(port: number): TrafficFigures | null {
    const known = [...this.#gateways.values()].flatMap(({ byPort }) => byPort.get(port) ?? []);
    return combineTraffic(known);
  }

  /**
   * Whether nothing is under way at that port any more: every live gateway must have said so after `sinceMs`
   * (Clock.nowMs), when it was withdrawn. A gateway that does not list the port sends nothing there, unless it had to leave
   * some out.
   * null when there is no gateway to ask.
   */
  drained(port: number, sinceMs: number): boolean | null {
    if (this.#gateways.size === 0) return null;
    return [...this.#gateways.values()].every(
      ({ byPort, atMs, report }) => atMs >= sinceMs && (byPort.get(port)?.drained ?? report.cut !== true),
    );
  }

  views(): readonly GatewayView[] {
    return [...this.#gateways.values()].map(({ report, atWallMs }) => ({
      gateway: report.gateway,
      workers: report.workers,
      upstreams: report.upstreams.length,
      inFlight: report.upstreams.reduce((total, { inFlight }) => total + inFlight, 0),
      lastReportAt: new Date(atWallMs).toISOString(),
    }));
  }

  close(): void {
    for (const { cancelExpiry } of this.#gateways.values()) cancelExpiry();
    this.#gateways.clear();
  }

  #count(isKnown: boolean): number {
    return [...this.#gateways.values()].filter((gateway) => gateway.isKnown === isKnown).length;
  }

  #expire(gateway: string): void {
    const known = this.#gateways.get(gateway);
    this.#gateways.delete(gateway);
    this.#options.events.emit('gateway.silent', { gateway, forMs: SILENCE_MS });
    for (const port of known?.byPort.keys() ?? []) this.#options.onDrained(port);
  }
}
