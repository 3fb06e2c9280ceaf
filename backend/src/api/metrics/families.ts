/** Prometheus figures from the views of the control plane; those of instances stand in instanceFamilies.ts. */
import type { MetricsView } from '../../domain/views/controlPlane.js';
import type { HighAvailabilityFigures } from '../../domain/statistics/availability.js';
import { flag, one, perService, perServiceStatus, ratio, seconds } from './family.js';
import type { Family } from './family.js';
import { instanceFamilies } from './instanceFamilies.js';

const SERVICE_STATES = [
  'healthy',
  'degraded',
  'unhealthy',
  'quarantined',
  'unverified',
  'stopped',
  'finished',
  'released',
] as const;

const ha =
  (pick: (figures: HighAvailabilityFigures) => number | null) => (service: MetricsView['services'][number]) =>
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
    'gauge',
    'holdfast_agents_connected',
    'Instances whose agent is connected.',
    ({ metrics }) => metrics.agents.connected,
  ),
  one('gauge', 'holdfast_agents_reachable', 'Agents can connect (1) or not (0).', ({ metrics }) =>
    flag(metrics.agents.problem === null),
  ),
  one(
    'counter',
    'holdfast_agents_refused_total',
    'Connections to the socket of agents that were ended.',
    ({ metrics }) => metrics.agents.refused,
  ),
  one(
    'counter',
    'holdfast_agents_bad_lines_total',
    'Lines from agents that were not understood.',
    ({ metrics }) => metrics.agents.badLines,
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
  {
    name: 'holdfast_api_connections',
    help: 'Connections to the API: on the port, with and without the token, and on the private socket.',
    type: 'gauge',
    labels: ['caller'],
    samples: ({ api: { connections } }) => [
      { labels: { caller: 'authenticated' }, value: connections.authenticated },
      { labels: { caller: 'unauthenticated' }, value: connections.unauthenticated },
      { labels: { caller: 'private_socket' }, value: connections.onPrivateSocket },
    ],
  },
  {
    name: 'holdfast_api_connections_closed_total',
    help: 'Connections without the token that were closed because their places were needed for new ones, by the bound.',
    type: 'counter',
    labels: ['bound'],
    samples: ({ api: { connections } }) =>
      Object.entries(connections.closed).map(([bound, value]) => ({ labels: { bound }, value })),
  },
];

/** Every figure of `/metrics` that is read at the time of the scrape. */
export const families: readonly Family[] = [...supervisor, ...host, ...services, ...instanceFamilies, ...api];
