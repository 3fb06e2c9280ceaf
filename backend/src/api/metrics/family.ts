/**
 * Prometheus figures as data: name, help, labels and where the values come from. Names follow the Prometheus
 * conventions (base units, `_total` for counters, ratios 0–1). A figure that was not measured has no sample. Labels are
 * bounded by the configuration: services, and their instances now.
 */
import type { ConnectionFigures } from '../httpServer.js';
import type { MetricsView, Percentiles, StatusView } from '../../domain/views/controlPlane.js';

export interface Views {
  readonly metrics: MetricsView;
  readonly status: StatusView;
  readonly api: {
    readonly streamClients: number;
    readonly streamDropped: number;
    readonly wrongTokens: number;
    readonly connections: ConnectionFigures;
  };
}

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  /** null: not measured, left out. */
  readonly value: number | null;
}

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter';
  readonly labels: readonly string[];
  readonly samples: (views: Views) => readonly Sample[];
}

type Type = Family['type'];
type Service = MetricsView['services'][number];
type ServiceStatus = StatusView['services'][number];
type Instance = Service['instances'][number];

export const seconds = (ms: number | null): number | null => (ms === null ? null : ms / 1000);
export const ratio = (percent: number | null): number | null => (percent === null ? null : percent / 100);
export const flag = (yes: boolean): number => (yes ? 1 : 0);

export function one(type: Type, name: string, help: string, value: (views: Views) => number | null): Family {
  return { name, help, type, labels: [], samples: (views) => [{ labels: {}, value: value(views) }] };
}

export function perService(
  type: Type,
  name: string,
  help: string,
  value: (service: Service) => number | null,
): Family {
  const samples = ({ metrics }: Views): Sample[] =>
    metrics.services.map((service) => ({ labels: { service: service.name }, value: value(service) }));
  return { name, help, type, labels: ['service'], samples };
}

export function perServiceStatus(
  name: string,
  help: string,
  value: (service: ServiceStatus) => number,
): Family {
  const samples = ({ status }: Views): Sample[] =>
    status.services.map((service) => ({ labels: { service: service.name }, value: value(service) }));
  return { name, help, type: 'gauge', labels: ['service'], samples };
}

export function perInstance(
  type: Type,
  name: string,
  help: string,
  value: (instance: Instance) => number | null,
): Family {
  const samples = ({ metrics }: Views): Sample[] =>
    metrics.services.flatMap((service) =>
      service.instances.map((instance) => ({
        labels: { service: service.name, pm_id: String(instance.pmId) },
        value: value(instance),
      })),
    );
  return { name, help, type, labels: ['service', 'pm_id'], samples };
}

export function quantiles(labels: Readonly<Record<string, string>>, times: Percentiles | null): Sample[] {
  if (times === null) return [];
  return [
    { labels: { ...labels, quantile: '0.5' }, value: times.p50 / 1000 },
    { labels: { ...labels, quantile: '0.95' }, value: times.p95 / 1000 },
    { labels: { ...labels, quantile: '0.99' }, value: times.p99 / 1000 },
  ];
}
