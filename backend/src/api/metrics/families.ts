/**
 * Prometheus figures from the views of the control plane, as data: name, help, labels and where the values come
 * from. Names follow the Prometheus conventions (base units, `_total` for counters, ratios 0–1). A figure that
 * was not measured has no sample. Labels are bounded by the configuration: services, and their instances now.
 */
import type { HighAvailabilityFigures, MetricsView, Percentiles, StatusView } from '../../domain/views.js';

export interface Views {
  readonly metrics: MetricsView;
  readonly status: StatusView;
  readonly api: {
    readonly streamClients: number;
    readonly streamDropped: number;
    readonly wrongTokens: number;
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

const SERVICE_STATES = ['healthy', 'degraded', 'unhealthy', 'quarantined', 'stopped'] as const;

const seconds = (ms: number | null): number | null => (ms === null ? null : ms / 1000);
const ratio = (percent: number | null): number | null => (percent === null ? null : percent / 100);
const flag = (yes: boolean): number => (yes ? 1 : 0);

function one(type: Type, name: string, help: string, value: (views: Views) => number | null): Family {
  return { name, help, type, labels: [], samples: (views) => [{ labels: {}, value: value(views) }] };
}

function perService(
  type: Type,
  name: string,
  help: string,
  value: (service: Service) => number | null,
): Family {
  const samples = ({ metrics }: Views): Sample[] =>
    metrics.services.map((service) => ({ labels: { service: service.name }, value: value(service) }));
  return { name, help, type, labels: ['service'], samples };
}

function perServiceStatus(name: string, help: string, value: (service: ServiceStatus) => number): Family {
  const samples = ({ status }: Views): Sample[] =>
    status.services.map((service) => ({ labels: { service: service.name }, value: value(service) }));
  return { name, help, type: 'gauge', labels: ['service'], samples };
}

function perInstance(
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

function quantiles(labels: Readonly<Record<string, string>>, times: Percentiles | null): Sample[] {
  if (times === null) return [];
  return [
    { labels: { ...labels, quantile: '0.5' }, value: times.p50 / 1000 },
    { labels: { ...labels, quantile: '0.95' }, value: times.p95 / 1000 },
    { labels: { ...labels, quantile: '0.99' }, value: times.p99 / 1000 },
  ];
}

const ha = (pick: (figures: HighAvailabilityFigures) => number | null) => (service: Service) =>
  pick(service.highAvailability);

const supervisor: Family[] = [
  {
    name: 'holdfast_build_info',
    help: 'Always 1; the version is a label.',
    type: 'gauge',
    labels: ['version'],
    samples: ({ status }) => [{ labels: { version: status.version }, value: 1 }],
  },
  one('gauge', 'holdfast_management_running', 'Automatic management on (1) or off (0).', ({ status }) =>
    flag(status.running),
  ),
  one('gauge', 'holdfast_daemon_connected', "PM2's daemon answers (1) or not (0).", ({ status }) =>
    flag(status.daemon.state === 'connected'),
  ),
  one('gauge', 'holdfast_supervisor_cpu_ratio', 'CPU of the supervisor; 1 is one core.', ({ metrics }) =>
    ratio(metrics.supervisor.cpuPercent),
  ),
  one(
    'gauge',
    'holdfast_supervisor_memory_bytes',
    'Resident memory of the supervisor.',
    ({ metrics }) => metrics.supervisor.memoryBytes,
  ),
  one(
    'gauge',
    'holdfast_supervisor_uptime_seconds',
    'Since the supervisor started.',
    ({ metrics }) => metrics.supervisor.uptimeSeconds,
  ),
  one(
    'counter',
    'holdfast_dropped_events_total',
    'Events that the history could not keep.',
    ({ metrics }) => metrics.dropped.events,
  ),
  one(
    'counter',
    'holdfast_dropped_notifications_total',
    'Notifications that could not be sent.',
    ({ metrics }) => metrics.dropped.notifications,
  ),
  one(
    'counter',
    'holdfast_dropped_black_boxes_total',
    'Black boxes, and files of them, that could not be kept.',
    ({ metrics }) => metrics.dropped.blackBoxes,
  ),
];

const host: Family[] = [
  one('gauge', 'holdfast_host_cores', 'Cores usable here.', ({ metrics }) => metrics.system.cores),
  one('gauge', 'holdfast_host_cpu_ratio', 'CPU in use, of all cores.', ({ metrics }) =>
    ratio(metrics.system.cpuPercent),
  ),
  one(
    'gauge',
    'holdfast_host_memory_bytes',
    'Memory usable here.',
    ({ metrics }) => metrics.system.memoryTotalBytes,
  ),
  one('gauge', 'holdfast_host_memory_used_ratio', 'Memory in use.', ({ metrics }) =>
    ratio(metrics.system.memoryUsedPercent),
  ),
  one('gauge', 'holdfast_host_disk_used_ratio', 'Disk in use.', ({ metrics }) =>
    ratio(metrics.system.diskUsedPercent),
  ),
  one('gauge', 'holdfast_host_connections', 'TCP connections.', ({ metrics }) => metrics.system.connections),
  one(
    'gauge',
    'holdfast_host_load1',
    'Load average, 1 minute.',
    ({ metrics }) => metrics.system.loadAverage1m,
  ),
];

const services: Family[] = [
  perServiceStatus('holdfast_service_instances_desired', 'Instances wanted.', ({ desired }) => desired),
  perServiceStatus('holdfast_service_instances_serving', 'Instances that serve.', ({ serving }) => serving),
  perServiceStatus('holdfast_service_instances_min', 'Fewest instances allowed.', ({ min }) => min),
  perServiceStatus('holdfast_service_instances_max', 'Most instances allowed.', ({ max }) => max),
  {
    name: 'holdfast_service_state',
    help: '1 for the state that the service is in, 0 for the others.',
    type: 'gauge',
    labels: ['service', 'state'],
    samples: ({ status }) =>
      status.services.flatMap(({ name, state }) =>
        SERVICE_STATES.map((each) => ({
          labels: { service: name, state: each },
          value: flag(each === state),
        })),
      ),
  },
  perService(
    'gauge',
    'holdfast_service_availability_ratio',
    'Share of the observed time in which something served.',
    ha((figures) => ratio(figures.availabilityPercent)),
  ),
  perService(
    'gauge',
    'holdfast_service_recovery_seconds',
    'Mean time from a failure to its verified recovery.',
    ha((figures) => seconds(figures.mttrMs)),
  ),
  perService(
    'gauge',
    'holdfast_service_scale_reaction_seconds',
    'Mean time from a scale decision to all instances serving.',
    ha((figures) => seconds(figures.scaleReactionMs)),
  ),
  perService(
    'gauge',
    'holdfast_service_failover_success_ratio',
    'Recovered failures, of all that ended.',
    ha((figures) => ratio(figures.failoverSuccessPercent)),
  ),
  perService(
    'counter',
    'holdfast_service_failures_total',
    'Failures of instances.',
    ha((figures) => figures.failures),
  ),
  perService(
    'counter',
    'holdfast_service_recycled_total',
    'Instances replaced because of their memory.',
    (service) => service.recycled,
  ),
  perService(
    'counter',
    'holdfast_service_recoveries_total',
    'Verified recoveries.',
    ha((figures) => figures.recoveries),
  ),
];

const instances: Family[] = [
  perInstance('gauge', 'holdfast_instance_cpu_ratio', 'CPU of the instance; 1 is one core.', (instance) =>
    ratio(instance.cpuPercent),
  ),
  perInstance(
    'gauge',
    'holdfast_instance_memory_bytes',
    'Resident memory.',
    (instance) => instance.memoryBytes,
  ),
  perInstance(
    'gauge',
    'holdfast_instance_memory_growth_bytes_per_second',
    'How fast memory grows for good; 0 when it does not.',
    (instance) => instance.memoryGrowthBytesPerSecond,
  ),
  perInstance(
    'gauge',
    'holdfast_instance_memory_limit_seconds',
    'Until a memory limit is met at the pace of growth.',
    (instance) => seconds(instance.memoryLimitInMs),
  ),
  perInstance(
    'gauge',
    'holdfast_instance_event_loop_utilization_ratio',
    'Share of time in which the event loop was busy.',
    (instance) => ratio(instance.eventLoopPercent),
  ),
  perInstance(
    'gauge',
    'holdfast_instance_waiting_work_seconds',
    'Work that waits for the event loop, in time of one core; 10 at most.',
    (instance) => seconds(instance.waitingWorkMs),
  ),
  perInstance('gauge', 'holdfast_instance_uptime_seconds', 'Since the instance started.', (instance) =>
    seconds(instance.uptimeMs),
  ),
  perInstance(
    'counter',
    'holdfast_instance_restarts_total',
    "PM2's restarts.",
    (instance) => instance.restarts,
  ),
  perInstance(
    'gauge',
    'holdfast_instance_error_ratio',
    'Failed, of the last 100.',
    (instance) => instance.errorRate,
  ),
  {
    name: 'holdfast_instance_response_time_seconds',
    help: 'Response times over the last 100, by quantile.',
    type: 'gauge',
    labels: ['service', 'pm_id', 'quantile'],
    samples: ({ metrics }) =>
      metrics.services.flatMap((service) =>
        service.instances.flatMap(({ pmId, responseTimeMs }) =>
          quantiles({ service: service.name, pm_id: String(pmId) }, responseTimeMs),
        ),
      ),
  },
];

const api: Family[] = [
  one(
    'gauge',
    'holdfast_api_stream_clients',
    'Clients of the event stream.',
    (views) => views.api.streamClients,
  ),
  one(
    'counter',
    'holdfast_api_stream_dropped_total',
    'Readers of the event stream cut off for being too slow.',
    (views) => views.api.streamDropped,
  ),
  one(
    'counter',
    'holdfast_api_wrong_tokens_total',
    'Wrong tokens refused.',
    (views) => views.api.wrongTokens,
  ),
];

/** Every figure of `/metrics` that is read at the time of the scrape. */
export const families: readonly Family[] = [...supervisor, ...host, ...services, ...instances, ...api];
