/**
 * What a gateway tells the supervisor about the upstreams it sends traffic to, about twice a second and at once when one
 * of them is drained. Plain data: it crosses the network. Figures cover a short window of real traffic.
 */
import { slowest } from './percentiles.js';
import type { Percentiles } from './percentiles.js';
import type { UpstreamState } from '../upstreams/pool.js';

/** Header field of a gateway's requests to the supervisor; with the token it gets a place that is kept for gateways. */
export const GATEWAY_FIELD = 'x-holdfast-gateway';

export interface UpstreamTraffic {
  readonly host: string;
  readonly port: number;
  readonly state: UpstreamState;
  /** Requests under way there, of all workers together. */
  readonly inFlight: number;
  /** Takes nothing new and has nothing under way, and every worker of the gateway says so. */
  readonly drained: boolean;
  readonly throughputPerSecond: number;
  /** Share of answers that were 5xx or did not come, 0–1; null without traffic. */
  readonly errorRate: number | null;
  /** From choosing it to the end of its answer; null without traffic. */
  readonly responseTimeMs: Percentiles | null;
}

export interface TrafficReport {
  /** Names one life of one gateway process: `<host>:<pid>`. */
  readonly gateway: string;
  /** Workers that serve. */
  readonly workers: number;
  /** True in the last report of a gateway that stops: it is not waited for any more. */
  readonly leaving: boolean;
  readonly upstreams: readonly UpstreamTraffic[];
  /** Upstreams on this machine were left out, because there are too many. */
  readonly cut?: true | undefined;
}

/** Of one instance, over all gateways; a figure without traffic stays null. */
export interface TrafficFigures {
  readonly inFlight: number;
  readonly throughputPerSecond: number;
  readonly errorRate: number | null;
  readonly responseTimeMs: Percentiles | null;
}

/** Most upstreams in one report. */
export const MOST_REPORTED_UPSTREAMS = 1_024;

/** Whether a gateway reaches an instance of its own machine at that address. */
export function isOnThisMachine(host: string): boolean {
  return host.startsWith('127.') || host === '::1' || host === 'localhost';
}

/**
 * The upstreams of a report: those on this machine first, which the supervisor knows, and of them those that drain, because
 * their stop waits for it.
 */
export function reported(all: readonly UpstreamTraffic[]): Pick<TrafficReport, 'upstreams' | 'cut'> {
  if (all.length <= MOST_REPORTED_UPSTREAMS) return { upstreams: all };
  const rank = ({ host, state }: UpstreamTraffic): number =>
    (isOnThisMachine(host) ? 0 : 2) + (state === 'draining' ? 0 : 1);
  const sorted = all.toSorted((a, b) => rank(a) - rank(b));
  const upstreams = sorted.slice(0, MOST_REPORTED_UPSTREAMS);
  const isCut = sorted.slice(MOST_REPORTED_UPSTREAMS).some(({ host }) => isOnThisMachine(host));
  return isCut ? { upstreams, cut: true } : { upstreams };
}

/**
 * What several gateways say of one instance, as one. Rates are weighted by traffic; of percentiles the slowest counts,
 * because they can't be averaged. null when nobody says anything.
 */
export function combineTraffic(reports: readonly UpstreamTraffic[]): TrafficFigures | null {
  if (reports.length === 0) return null;
  const throughputPerSecond = sum(reports.map((one) => one.throughputPerSecond));
  const inFlight = sum(reports.map((one) => one.inFlight));
  const judged = reports.filter(({ errorRate }) => errorRate !== null);
  const weight = sum(judged.map((one) => one.throughputPerSecond));
  const errors = sum(judged.map((one) => (one.errorRate ?? 0) * one.throughputPerSecond));
  const errorRate = weight > 0 ? Math.min(1, errors / weight) : null;
  const times = reports.map((one) => one.responseTimeMs).filter((one) => one !== null);
  return { inFlight, throughputPerSecond, errorRate, responseTimeMs: slowest(times) };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
