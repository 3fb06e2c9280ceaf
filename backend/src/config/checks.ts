/** Rules between settings. Each blames one key and says what it must be in view of the others. */
import { isIPv4 } from 'node:net';

import type { ServiceValues } from './schema.js';

type ServiceKey = keyof ServiceValues;

export interface ServiceRule {
  readonly blames: ServiceKey;
  readonly inViewOf: readonly ServiceKey[];
  holds(values: ServiceValues): boolean;
  allowed(values: ServiceValues): string;
}

/** `blames` must be below, or at most, `inViewOf`. */
function ordered(blames: NumericKey, relation: 'below' | 'at most', inViewOf: NumericKey): ServiceRule {
  return {
    blames,
    inViewOf: [inViewOf],
    holds: (values) =>
      relation === 'below' ? values[blames] < values[inViewOf] : values[blames] <= values[inViewOf],
    allowed: (values) => `${relation} ${inViewOf} (${values[inViewOf]})`,
  };
}

type NumericKey = { [K in ServiceKey]: ServiceValues[K] extends number ? K : never }[ServiceKey];

/** `auto` adapts to the ports there are, but not below the minimum. */
function mostInstances({ maxInstances, minInstances }: ServiceValues): number {
  return maxInstances === 'auto' ? minInstances : maxInstances;
}

export const SERVICE_RULES: readonly ServiceRule[] = [
  ordered('cpuThresholdLow', 'below', 'cpuThresholdHigh'),
  ordered('memoryThresholdLow', 'below', 'memoryThresholdHigh'),
  ordered('healthCheckTimeout', 'at most', 'healthCheckInterval'),
  ordered('healthCheckFastInterval', 'at most', 'healthCheckInterval'),
  {
    blames: 'minInstances',
    inViewOf: ['maxInstances'],
    holds: ({ minInstances, maxInstances }) => maxInstances === 'auto' || minInstances <= maxInstances,
    allowed: ({ maxInstances }) => `at most maxInstances (${maxInstances})`,
  },
  {
    // A replacement starts before the old instance leaves: one port more than instances.
    blames: 'portCount',
    inViewOf: ['maxInstances', 'minInstances'],
    holds: (values) => values.portCount > mostInstances(values),
    allowed: (values) =>
      `more than the ${mostInstances(values)} instances there may be: a replacement needs a port before the old instance gives its own back`,
  },
];

/** Whether only this machine can connect to what listens on `host`. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}

const SHORT_TOKEN_CHARACTERS = 16;

/** What works and is risky all the same, a sentence each. */
export function weaknesses({
  host,
  apiToken,
}: {
  readonly host: string;
  readonly apiToken: string | null;
}): string[] {
  if (apiToken === null || apiToken.length >= SHORT_TOKEN_CHARACTERS || isLoopback(host)) return [];
  return [
    `haApiToken (HA_API_TOKEN) has only ${apiToken.length} characters and ${host} can be reached from other machines; ` +
      `use at least ${SHORT_TOKEN_CHARACTERS} random ones, for example from: openssl rand -hex 32`,
  ];
}
