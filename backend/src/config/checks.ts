/** Rules between settings. Each blames one key and says what it must be in view of the others. */
import { isIPv4 } from 'node:net';

import { policyWarnings } from '../domain/failures/endings.js';
import type { GatewayValues } from './gatewaySchema.js';
import type { GlobalValues, ServiceValues } from './schema.js';

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

/** What is allowed, and has an effect that is hardly meant, a sentence each. */
export function serviceWarnings(
  defaults: ServiceValues,
  services: ReadonlyMap<string, Partial<ServiceValues>>,
): string[] {
  const general = warningsOf(defaults);
  const own = [...services].flatMap(([name, overrides]) =>
    warningsOf({ ...defaults, ...overrides })
      .filter((warning) => !general.includes(warning))
      .map((warning) => `services.${name}: ${warning}`),
  );
  return [...general, ...own];
}

function warningsOf(values: ServiceValues): readonly string[] {
  const { startTimeout, maxRestartAttempts, restartWindow, restartBackoff } = values;
  return policyWarnings({
    health: { startTimeoutMs: startTimeout },
    failure: { maxRestartAttempts, windowMs: restartWindow, backoffBaseMs: restartBackoff },
  });
}

/** Settings that need haApiToken, where it is not set. */
export function withoutToken(
  { haHost, haApiToken }: Pick<GlobalValues, 'haHost' | 'haApiToken'>,
  { lbTokenOnLoopback }: Pick<GatewayValues, 'lbTokenOnLoopback'>,
) {
  if (haApiToken !== null) return [];
  const token = 'haApiToken (HA_API_TOKEN) set as well';
  const missing: { key: 'haHost' | 'lbTokenOnLoopback'; value: string; allowed: string }[] = [];
  if (!isLoopback(haHost)) {
    const allowed = `a loopback address such as 127.0.0.1, or ${token}`;
    missing.push({ key: 'haHost', value: haHost, allowed });
  }
  if (lbTokenOnLoopback) missing.push({ key: 'lbTokenOnLoopback', value: 'on', allowed: `off, or ${token}` });
  return missing;
}

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
  if (apiToken === null || apiToken.length >= SHORT_TOKEN_CHARACTERS) return [];
  const reach = isLoopback(host) ? 'by every user of this machine' : 'from other machines';
  return [
    `haApiToken (HA_API_TOKEN) has only ${apiToken.length} characters and ${host} can be reached ${reach}; ` +
      `use at least ${SHORT_TOKEN_CHARACTERS} random ones, for example from: openssl rand -hex 32`,
  ];
}
