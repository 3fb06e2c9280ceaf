/**
 * `/metrics`. Everything about the control plane is read when Prometheus asks, into a registry that lives for
 * that one answer: nothing goes stale, and an instance that is gone leaves no series behind.
 */
import { Counter, Gauge, Registry } from 'prom-client';
import { shownLabels } from '../../lib/secrets/ofProcess.js';
import type { ControlPlane } from '../../domain/views/controlPlane.js';
import { families } from './families.js';
import type { Family, Views } from './family.js';
import type { OwnMetrics } from './ownMetrics.js';

export class Exposition {
  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;
  readonly #controlPlane: Pick<ControlPlane, 'metrics' | 'status'>;
  readonly #own: OwnMetrics;
  readonly #api: () => Views['api'];

  constructor(
    controlPlane: Pick<ControlPlane, 'metrics' | 'status'>,
    own: OwnMetrics,
    api: () => Views['api'],
  ) {
    this.#controlPlane = controlPlane;
    this.#own = own;
    this.#api = api;
  }

  /** The text of one scrape. Rejects with what the control plane rejects with. */
  async render(): Promise<string> {
    const metrics = await this.#controlPlane.metrics();
    const views: Views = { metrics, status: this.#controlPlane.status(), api: this.#api() };
    const registry = new Registry();
    for (const family of families) record(registry, family, views);
    const [read, own] = await Promise.all([registry.metrics(), this.#own.registry.metrics()]);
    return `${read}\n${own}`;
  }
}

function record(registry: Registry, family: Family, views: Views): void {
  const { name, help, type, labels } = family;
  const options = { name, help, labelNames: [...labels], registers: [registry] };
  const gauge = type === 'gauge' ? new Gauge(options) : null;
  const counter = type === 'counter' ? new Counter(options) : null;
  // prom-client starts a metric without labels at 0; what was not measured must not read as zero.
  if (labels.length === 0) (gauge ?? counter)?.remove();
  for (const sample of family.samples(views)) {
    if (sample.value === null) continue;
    const shown = shownLabels(sample.labels);
    gauge?.set(shown, sample.value);
    counter?.inc(shown, sample.value);
  }
}
