/** From the configuration to what one service is held to. */
import type { ServicePolicy } from '../domain/policy.js';
import type { Config } from './load.js';
import type { ServiceOverrides, ServiceValues } from './schema.js';

/** What the ecosystem file (or PM2's list, for an adopted service) says. */
export interface DefinedService {
  readonly name: string;
  /** Its PORT. */
  readonly startPort?: number;
  /** Its max_memory_restart. */
  readonly memoryLimitBytes?: number;
  /** How many PM2 starts of it. */
  readonly instances?: number;
  /** Its autorestart is false. */
  readonly isJob?: boolean;
}

/** The machine, or the container's share of it. */
export interface HostSize {
  readonly cores: number;
  readonly memoryBytes: number;
}

const LAST_PORT = 65_535;

/**
 * The strongest word on each point: `services.<name>` in config.yml, then the ecosystem file (port, memory limit),
 * then the global settings. An instance's limit is never more than the machine has, else nothing would ever be near it.
 */
export function servicePolicy(config: Config, service: DefinedService, host: HostSize): ServicePolicy {
  const overrides = config.services.get(service.name) ?? {};
  const values: ServiceValues = { ...config.serviceDefaults, ...overrides };
  const memoryLimit = overrides.memoryLimit ?? service.memoryLimitBytes ?? values.memoryLimit;
  const scaling = {
    ...scalingPolicy(values, host.cores),
    ...instanceBounds(config, service, values, host.cores),
  };
  return {
    name: service.name,
    ports: portRange(overrides, service, Math.max(values.portCount, scaling.maxInstances + 1)),
    memoryLimitBytes: Math.min(memoryLimit, host.memoryBytes),
    hangTimeoutMs: values.hangTimeout,
    scaling,
    health: healthPolicy(values),
    failure: {
      maxRestartAttempts: values.maxRestartAttempts,
      windowMs: values.restartWindow,
      restartCooldownMs: values.restartCooldown,
      backoffBaseMs: values.restartBackoff,
      stableMs: values.stablePeriod,
    },
    lifecycle: {
      drainGraceMs: values.drainGrace,
      killTimeoutMs: values.killTimeout,
      canaryMs: values.canaryPeriod,
      ...(service.isJob === true ? { isJob: true } : {}),
    },
  };
}

function portRange(
  overrides: ServiceOverrides,
  service: DefinedService,
  portCount: number,
): ServicePolicy['ports'] {
  const first = overrides.startPort ?? service.startPort ?? null;
  return first === null ? null : { first, last: Math.min(first + portCount - 1, LAST_PORT) };
}

type InstanceBounds = Pick<ServicePolicy['scaling'], 'maxInstances' | 'isMaximumSet' | 'boundsWarning'>;

/** A maximum that was set holds. The default makes room for what the ecosystem file starts (decision 32). */
function instanceBounds(
  config: Config,
  { name, instances = 0 }: DefinedService,
  values: ServiceValues,
  cores: number,
): InstanceBounds {
  const maxInstances = most(values, cores);
  const isOwn = config.services.get(name)?.maxInstances !== undefined;
  const isMaximumSet = isOwn || config.mentions.some(({ key }) => key === 'maxInstances');
  if (!isMaximumSet) return { maxInstances: Math.max(maxInstances, instances) };
  if (instances <= maxInstances) return { maxInstances, isMaximumSet };
  const setting = isOwn ? `services.${name}.maxInstances` : 'maxInstances';
  const boundsWarning =
    `The ecosystem file says instances: ${instances}, and ${setting} is ${maxInstances}: ` +
    `of those that PM2 starts, ${instances - maxInstances} are stopped again. Make the two agree.`;
  return { maxInstances, isMaximumSet, boundsWarning };
}

/** Only `auto` can exceed the ports or undercut the minimum: numbers were checked when they were read. */
function most({ minInstances, maxInstances, portCount }: ServiceValues, cores: number): number {
  return maxInstances === 'auto' ? Math.min(Math.max(cores, minInstances), portCount - 1) : maxInstances;
}

function scalingPolicy(values: ServiceValues, cores: number): ServicePolicy['scaling'] {
  return {
    minInstances: values.minInstances,
    maxInstances: most(values, cores),
    cpuHighPercent: values.cpuThresholdHigh,
    cpuLowPercent: values.cpuThresholdLow,
    memoryHighPercent: values.memoryThresholdHigh,
    memoryLowPercent: values.memoryThresholdLow,
    cooldownMs: values.scaleCooldown,
    upWindowMs: values.scaleUpWindow,
    downWindowMs: values.scaleDownWindow,
    autoscale: values.autoscale,
  };
}

/** How an instance is probed; the gateway's upstreams are by the same rule. */
export function healthPolicy(values: ServiceValues): ServicePolicy['health'] {
  return {
    probe:
      values.healthProbe === 'tcp'
        ? { kind: 'tcp' }
        : {
            kind: 'http',
            path: values.healthPath,
            statusMin: values.healthStatus.min,
            statusMax: values.healthStatus.max,
            bodyIncludes: values.healthBody,
            ...(values.healthHost === null ? {} : { host: values.healthHost }),
            ...(values.healthHeaders === null ? {} : { headers: values.healthHeaders }),
          },
    intervalMs: values.healthCheckInterval,
    timeoutMs: values.healthCheckTimeout,
    fastIntervalMs: values.healthCheckFastInterval,
    fall: values.unhealthyThreshold,
    rise: values.healthyThreshold,
    startTimeoutMs: values.startTimeout,
  };
}
