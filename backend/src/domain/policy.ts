/**
 * What a service is held to. Built once from the configuration (config/), immutable afterwards; the rules in
 * this folder take them as arguments. Units are in the names; defaults are in config/schema.ts.
 */

/** When the number of instances changes (SPEC 4). Percentages are 0–100, CPU of *one core*. */
export interface ScalingPolicy {
  readonly minInstances: number;
  readonly maxInstances: number;
  readonly cpuHighPercent: number;
  readonly cpuLowPercent: number;
  readonly memoryHighPercent: number;
  readonly memoryLowPercent: number;
  /** Time between two automatic moves. Manual calls skip it. */
  readonly cooldownMs: number;
  /** Load must stay above high for this long before growing. */
  readonly upWindowMs: number;
  /** Load must stay below low for this whole window before shrinking. */
  readonly downWindowMs: number;
  /** False: decisions are computed and shown, never applied. */
  readonly autoscale: boolean;
  /** The maximum was set, so that what the ecosystem file says, or PM2 ran before, does not raise it. Default: false. */
  readonly isMaximumSet?: boolean;
  /** What these bounds do that was hardly meant, a sentence for people. Default: nothing. */
  readonly boundsWarning?: string;
}

export type ProbeSpec =
  | {
      readonly kind: 'http';
      readonly path: string;
      /** Inclusive range of healthy statuses. */
      readonly statusMin: number;
      readonly statusMax: number;
      /** Text that the body must contain, or null. */
      readonly bodyIncludes: string | null;
      /** `Host` of the request. Default: the address and port that are asked. */
      readonly host?: string;
      /** Further fields of the request, or other values of its own. May hold credentials: they are never shown. */
      readonly headers?: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'tcp' };

/** How fitness is found out (SPEC 5). */
export interface HealthPolicy {
  readonly probe: ProbeSpec;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Interval while the state is unsettled: after a first result that contradicts the state. */
  readonly fastIntervalMs: number;
  /** Consecutive bad results until unfit. */
  readonly fall: number;
  /** Consecutive good results until fit. */
  readonly rise: number;
  /** A starting instance that is not fit by then is unfit. */
  readonly startTimeoutMs: number;
}

/** How often a failing instance is given another chance (SPEC 5). */
export interface FailurePolicy {
  readonly maxRestartAttempts: number;
  /** Failures older than this are forgotten. */
  readonly windowMs: number;
  /** Wait before the first half-open trial of a quarantined service; doubles per failed trial. */
  readonly restartCooldownMs: number;
  /** First delay before a repeated replacement; doubles per attempt, full jitter. */
  readonly backoffBaseMs: number;
  /** A recovery counts only after this long without a bad result. */
  readonly stableMs: number;
}

/** How instances come and go. */
export interface LifecyclePolicy {
  /** From "no longer announced as serving" to the stop signal, so that whoever routes has learnt it. */
  readonly drainGraceMs: number;
  /** From SIGINT to SIGKILL. */
  readonly killTimeoutMs: number;
  /** How long a deploy's canary must stay fit before the rest follows. */
  readonly canaryMs: number;
  /** Its definition says `autorestart: false`: each start is one run (endRules.ts). Default: false. */
  readonly isJob?: boolean;
}

export interface ServicePolicy {
  readonly name: string;
  /** Ports to give to instances, inclusive; null when the service listens on none. */
  readonly ports: { readonly first: number; readonly last: number } | null;
  /** Memory of one instance counted as 100 %, in bytes. */
  readonly memoryLimitBytes: number;
  /** A main thread that is blocked for so long hangs. Only an agent can tell. */
  readonly hangTimeoutMs: number;
  readonly scaling: ScalingPolicy;
  readonly health: HealthPolicy;
  readonly failure: FailurePolicy;
  readonly lifecycle: LifecyclePolicy;
}

/** As the policy says, but with room for as many as were found running. */
export function withRoomFor(policy: ServicePolicy, found: number): ServicePolicy {
  const { scaling } = policy;
  if (scaling.isMaximumSet === true || found <= scaling.maxInstances) return policy;
  return { ...policy, scaling: { ...scaling, maxInstances: found } };
}

/** Why `wanted` instances are not allowed and `to` are. */
export function whyBounded(wanted: number, to: number): string {
  return to < wanted
    ? `the configuration allows at most ${to} instances (maxInstances)`
    : `the configuration allows at least ${to} instances (minInstances)`;
}

/** `wanted`, or the nearest count that the policy allows. */
export function clampInstances(wanted: number, { scaling }: ServicePolicy): number {
  return Math.min(scaling.maxInstances, Math.max(scaling.minInstances, wanted));
}
