/** What the API knows about itself. Labels are bounded: route patterns, known methods, status codes. */
import { Counter, Histogram, Registry } from 'prom-client';
import type { FamilyDoc } from '../../lib/metricReference.js';
import type { FinishedRequest } from '../requestLog.js';

const METHODS = new Set(['GET', 'HEAD', 'POST', 'DELETE', 'OPTIONS', 'PUT', 'PATCH']);

const REQUESTS = {
  name: 'holdfast_api_requests_total',
  help: 'Requests answered by the control API.',
  labelNames: ['method', 'route', 'status'],
} as const;
const DURATION = {
  name: 'holdfast_api_request_duration_seconds',
  help: 'Time from the request to the end of the answer; operations include their wait.',
  labelNames: [],
} as const;

/** As documentation shows them. */
export const ownFamilies: readonly FamilyDoc[] = [
  { ...REQUESTS, type: 'counter', labels: REQUESTS.labelNames },
  { ...DURATION, type: 'histogram', labels: DURATION.labelNames },
];

export class OwnMetrics {
  readonly registry = new Registry();
  readonly #requests = new Counter({ ...REQUESTS, registers: [this.registry] });
  readonly #duration = new Histogram({
    ...DURATION,
    buckets: [0.005, 0.05, 0.5, 5, 60],
    registers: [this.registry],
  });

  observe({ method, route, status, durationSeconds }: FinishedRequest): void {
    this.#requests.inc({ method: METHODS.has(method) ? method : 'other', route, status });
    // A stream lasts as long as its client likes; that says nothing about how fast the API is.
    if (route !== '/api/ha/stream') this.#duration.observe(durationSeconds);
  }
}
