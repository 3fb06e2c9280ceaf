/** The nouns of the control plane. Everything here is a readonly snapshot; owners live in services/. */

/** One start of one process: history survives a config reload, a restarted process starts clean. */
export interface InstanceId {
  readonly service: string;
  /** PM2's number; stays the same over PM2's own restarts. */
  readonly pmId: number;
  /** Wall-clock time of this start as PM2 reports it (`pm_uptime`), ms. */
  readonly startedAtMs: number;
}

export function sameInstance(a: InstanceId, b: InstanceId): boolean {
  return a.service === b.service && a.pmId === b.pmId && a.startedAtMs === b.startedAtMs;
}

/** A key for maps. */
export function instanceKey(id: InstanceId): string {
  return `${id.service}#${id.pmId}@${id.startedAtMs}`;
}

/** The number in such a key. */
export function pmIdOf(key: string): number {
  return Number(key.slice(key.lastIndexOf('#') + 1, key.lastIndexOf('@')));
}

export type ProcessStatus =
  'launching' | 'online' | 'stopping' | 'stopped' | 'errored' | 'waiting restart' | 'one-launch-status';

/** What PM2 does when a process ends (failures/endRules.ts), as it was told at the start of that process. */
export interface EndRules {
  /** False: a job. */
  readonly autorestart: boolean;
  /** Exit codes after which PM2 does not restart it. */
  readonly stopExitCodes: readonly number[];
  /** When PM2 starts it anew (`cron_restart`); null: never by itself. */
  readonly schedule: string | null;
  /** False: PM2 lists it, and no command of PM2 starts it as long as it is so. Default: true. */
  readonly autostart?: boolean;
}

/** How a process ended that PM2 leaves down as it was told. */
export type RunEnd =
  | 'finished' // as intended
  | 'failed'; // a job whose run did not succeed

/** One row of PM2's list, validated at the boundary. */
export interface ManagedProcess extends InstanceId {
  /** null while there is no process (stopped, errored). */
  readonly pid: number | null;
  readonly port: number | null;
  readonly status: ProcessStatus;
  readonly mode: 'fork' | 'cluster';
  /** PM2's counter of restarts of this pmId. */
  readonly restarts: number;
  readonly createdAtMs: number;
  /** From the signal to SIGKILL, as PM2 was told when it was started. */
  readonly killTimeoutMs: number;
  /** What its instance variable (NODE_APP_INSTANCE) says. Absent: nothing. */
  readonly instanceNumber?: number;
  /** What PM2 does when it ends. Absent: PM2's defaults. */
  readonly endRules?: EndRules;
  /** How the last process under this number ended, as PM2 wrote it down (0 also for a signal). Absent: none has. */
  readonly lastExitCode?: number;
}

/** Whether there is a process, or PM2 is about to make one. */
export function isAlive({ status, pid }: ManagedProcess): boolean {
  if (status === 'stopped' || status === 'errored') return false;
  return pid !== null || status === 'launching' || status === 'waiting restart';
}

/** A process of ours that PM2 does not list: a ghost (same daemon) or an orphan (its daemon died). */
export interface StrayProcess {
  readonly service: string;
  readonly pid: number;
  /** Start time of the pid in clock ticks since boot (/proc/pid/stat field 22): guards against pid reuse. */
  readonly pidStartTicks: number;
  readonly port: number | null;
  readonly kind: 'ghost' | 'orphan';
}

/** What the supervisor thinks of one instance. Each variant carries only its own data. */
export type Fitness =
  /** Running, not yet verified. */
  | { readonly kind: 'starting' }
  | { readonly kind: 'fit'; readonly sinceMs: number }
  /** Runs, was not started by Holdfast, and has never passed the probe: left as it is. */
  | {
      readonly kind: 'unverified';
      readonly sinceMs: number;
      /** It answers, if not as the probe expects: then it gets traffic. */
      readonly answers: boolean;
      readonly detail: string;
    }
  | {
      readonly kind: 'unfit';
      readonly sinceMs: number;
      readonly cause: FailureCause;
      readonly detail: string;
    };

/** Why an instance is unfit, or ended by its own fault. */
export const FAILURE_CAUSES = [
  'crashed', // left by itself, or by a fatal signal
  'oom-killed', // the kernel ended it for memory
  'out-of-memory', // V8 ended it: its JavaScript heap reached its limit
  'unhealthy', // probes: status, body, refused
  'unresponsive', // probes: no answer in time
  'hung', // its main thread is blocked: an agent said so
  'stopped', // the whole process is (SIGSTOP): its agent fell silent, the kernel says why
  'stalled', // both loops alive, but requests grow older and none finishes
  'not-ready', // never became fit after its start
  'memory', // recycled before its limit
] as const;

export type FailureCause = (typeof FAILURE_CAUSES)[number];

/** What a failed deploy leaves: the next instance that is started runs it. */
export interface UnprovenFiles {
  /** ISO 8601, UTC. */
  readonly since: string;
  /** Why the deploy failed. */
  readonly problem: string;
}

export type OperationKind = 'scale-up' | 'scale-down' | 'failover' | 'deploy';

/** Replacing all instances that were there when it began. Persisted. */
export interface Rollout {
  readonly kind: 'failover' | 'deploy';
  /** Keys (instanceKey) of those to be replaced. */
  readonly outdated: readonly string[];
  readonly canaryVerified: boolean;
}

/** What an operator asked for and is under way. Persisted, so that a restarted supervisor ends what it began. */
export interface Operation {
  readonly id: string;
  readonly kind: OperationKind;
  readonly reason: string;
  /** Wall clock. */
  readonly sinceMs: number;
  readonly from: number;
  readonly to: number;
  readonly started: readonly InstanceRef[];
  readonly stopped: readonly InstanceRef[];
  /** Set once it failed and what it began is being taken back. */
  readonly failure: { readonly code: string; readonly message: string } | null;
  /** The fewest steps that were ever left to its goal; null: not looked at yet. */
  readonly stepsLeft: number | null;
  /** For how long it has come no closer. Time in which PM2 does not answer does not count. */
  readonly idleMs: number;
}

/** An instance as operations name it. */
export interface InstanceRef {
  readonly pmId: number;
  readonly pid: number | null;
  readonly port: number | null;
}

export function refOf({ pmId, pid, port }: ManagedProcess): InstanceRef {
  return { pmId, pid, port };
}

/** What an operation did; when its time ran out, what is still under way (`done: false`). */
export interface OperationReport {
  /** null: there was nothing to do. */
  readonly operationId: string | null;
  readonly kind: OperationKind;
  readonly serviceName: string;
  /** False: what was asked for was so already, and nothing was done. */
  readonly changed: boolean;
  readonly done: boolean;
  /** One sentence: what happened, or what is still awaited. */
  readonly message: string;
  readonly fromInstances: number;
  readonly toInstances: number;
  readonly started: readonly InstanceRef[];
  readonly stopped: readonly InstanceRef[];
  /** What is still under way, one phrase each; empty when done. */
  readonly pending: readonly string[];
  readonly durationMs: number;
}
