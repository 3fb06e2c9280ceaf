/** Prometheus figures of instances, from outside and, where they carry an agent, from inside. */
import { flag, perInstance, quantiles, ratio, seconds } from './family.js';
import type { Family } from './family.js';

export const instanceFamilies: readonly Family[] = [
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
  perInstance(
    'gauge',
    'holdfast_instance_agent_connected',
    'Its agent is connected and speaks (1) or not (0).',
    (instance) => flag(instance.agent !== null),
  ),
  perInstance(
    'gauge',
    'holdfast_instance_event_loop_delay_p99_seconds',
    'Delay of the event loop beyond due times, 99th percentile of the last interval.',
    (instance) => seconds(instance.agent?.loopDelayP99Ms ?? null),
  ),
  perInstance(
    'gauge',
    'holdfast_instance_heap_used_bytes',
    'JavaScript heap in use.',
    (instance) => instance.agent?.heapUsedBytes ?? null,
  ),
  perInstance(
    'gauge',
    'holdfast_instance_heap_limit_bytes',
    'Limit of the JavaScript heap.',
    (instance) => instance.agent?.heapLimitBytes ?? null,
  ),
  perInstance(
    'gauge',
    'holdfast_instance_requests_active',
    'HTTP requests begun and not finished.',
    (instance) => instance.agent?.requestsActive ?? null,
  ),
  perInstance(
    'gauge',
    'holdfast_instance_requests_overdue',
    'HTTP requests without an answer for more than two seconds.',
    (instance) => instance.agent?.requestsOverdue ?? null,
  ),
  perInstance(
    'counter',
    'holdfast_instance_requests_finished_total',
    'HTTP requests finished, as the agent counts them.',
    (instance) => instance.agent?.requestsFinished ?? null,
  ),
  perInstance(
    'counter',
    'holdfast_instance_requests_aborted_total',
    'HTTP requests cut off before their end.',
    (instance) => instance.agent?.requestsAborted ?? null,
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
