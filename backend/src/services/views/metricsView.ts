/** Figures of the whole control plane, put together for the API. Reads only. */
import { instanceKey, isAlive, refOf } from '../../domain/model.js';
import type { ManagedProcess } from '../../domain/model.js';
import { slowest } from '../../domain/statistics/percentiles.js';
import { DRAIN_MS } from '../../domain/scaling/backlog.js';
import type { AgentFigures } from '../../domain/agents/agent.js';
import type {
  AgentMetrics,
  InstanceMetrics,
  MetricsView,
  ServiceMetrics,
} from '../../domain/views/controlPlane.js';
import type { HostFigures } from '../../ports.js';
import type { ControlLoop } from '../loop/controlLoop.js';
import type { SupervisedService } from '../service/supervisedService.js';

export function metricsView(
  loop: ControlLoop,
  host: HostFigures,
  supervisor: MetricsView['supervisor'],
  dropped: MetricsView['dropped'],
): MetricsView {
  const { memoryAvailableBytes, ...system } = host;
  const memoryUsedPercent = round(100 * (1 - memoryAvailableBytes / host.memoryTotalBytes));
  return {
    system: { ...system, memoryUsedPercent },
    supervisor,
    services: [...loop.services.values()].map((service) => serviceMetrics(loop, service)),
    highAvailability: loop.availability.overall(),
    agents: loop.agents.counts(),
    dropped,
  };
}

function serviceMetrics(loop: ControlLoop, service: SupervisedService): ServiceMetrics {
  const instances = service.processes.map((process) => instanceMetrics(loop, service, process));
  const present = <T>(values: readonly (T | null)[]): T[] => values.filter((value) => value !== null);
  const cpu = present(instances.map(({ cpuPercent }) => cpuPercent));
  const memory = present(instances.map(({ memoryBytes }) => memoryBytes));
  const errors = present(instances.map(({ errorRate }) => errorRate));
  const throughput = present(instances.map(({ throughputPerSecond }) => throughputPerSecond));
  return {
    name: service.name,
    desired: service.desired,
    serving: service.serving().length,
    cpuPercent: cpu.length === 0 ? null : round(sum(cpu) / cpu.length),
    memoryBytes: memory.length === 0 ? null : sum(memory),
    responseTimeMs: slowest(present(instances.map(({ responseTimeMs }) => responseTimeMs))),
    errorRate: errors.length === 0 ? null : sum(errors) / errors.length,
    throughputPerSecond: throughput.length === 0 ? null : round(sum(throughput)),
    restarts: sum(service.processes.map(({ restarts }) => restarts)),
    recycled: loop.memory.recycled(service.name),
    instances,
    highAvailability: loop.availability.figures(service.name),
  };
}

function instanceMetrics(
  loop: ControlLoop,
  service: SupervisedService,
  process: ManagedProcess,
): InstanceMetrics {
  const figures = service.figuresOf(process);
  const probed = loop.health.figures(instanceKey(process));
  const trend = service.memoryTrendOf(process);
  const seen = process.port === null ? null : loop.traffic.figures(process.port);
  return {
    ...refOf(process),
    cpuPercent: figures?.cpuPercent == null ? null : round(figures.cpuPercent),
    memoryBytes: figures?.memoryBytes ?? null,
    memoryGrowthBytesPerSecond:
      trend.kind === 'unknown' ? null : trend.kind === 'growing' ? trend.perSecondBytes : 0,
    memoryLimitInMs: trend.kind === 'growing' ? trend.etaMs : null,
    eventLoopPercent: figures?.eluPercent == null ? null : round(figures.eluPercent),
    waitingWorkMs: figures?.backlogPercent == null ? null : round((figures.backlogPercent / 100) * DRAIN_MS),
    agent: agentMetrics(loop.agents.figures(process)),
    uptimeMs: isAlive(process) ? Math.max(0, loop.moment().wallMs - process.startedAtMs) : 0,
    restarts: process.restarts,
    // Without traffic, probes are all there is to go by.
    responseTimeMs: seen?.responseTimeMs ?? probed.responseTimeMs,
    errorRate: seen?.errorRate ?? probed.errorRate,
    throughputPerSecond: seen === null ? null : round(seen.throughputPerSecond),
  };
}

function agentMetrics(figures: AgentFigures | null): AgentMetrics | null {
  if (figures === null) return null;
  const { delayP50Ms, delayP99Ms, heapUsedBytes, heapLimitBytes, liveHeapBytes, connections, debugged } =
    figures;
  return {
    loopDelayP50Ms: delayP50Ms,
    loopDelayP99Ms: delayP99Ms,
    heapUsedBytes,
    heapLimitBytes,
    liveHeapBytes,
    requestsActive: figures.active,
    requestsOverdue: figures.unansweredOverdue,
    requestsFinished: figures.finished,
    requestsAborted: figures.aborted,
    connections,
    debugged,
  };
}

/** For people, to be put after something else: what the agent of an instance says; nothing where there is none. */
export function insideView(loop: ControlLoop, process: ManagedProcess): string {
  const figures = loop.agents.figures(process);
  if (figures === null) return loop.agents.presence(process) === 'silent' ? '; its agent is silent' : '';
  const { eluPercent, delayP99Ms, active, unansweredOverdue } = figures;
  const delay = delayP99Ms === null ? '' : `, delay ${round(delayP99Ms)} ms`;
  const overdue = unansweredOverdue === 0 ? '' : `, ${unansweredOverdue} of them overdue`;
  return `; event loop ${Math.round(eluPercent)} %${delay}, ${active} requests${overdue}`;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
