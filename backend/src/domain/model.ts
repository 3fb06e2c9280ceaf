/** The nouns of the control plane. Everything here is a readonly snapshot; owners live in services/. */
import type { Diagnosis } from './diagnosis/facts.js';
import type { EndRules } from './failures/endRules.js';
import type { MemoryTrend } from './memory/memoryTracker.js';
import type { PortOwner } from './network/portOwner.js';

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

/** Whether its agent speaks. silent: connected, but nothing was heard for two seconds. */
export type AgentPresence = 'connected' | 'silent' | 'absent';

/** An instance as it is shown and decided upon. */
export interface InstanceView extends ManagedProcess {
  /** Where it listens and is asked, without brackets: 127.0.0.1 unless it listens elsewhere. */
  readonly host: string;
  /** To which users its port must belong; null: not known. */
  readonly owner: PortOwner | null;
  readonly fitness: Fitness;
  /** Whether traffic may go there now: fit, or unverified and answering, and neither withdrawn nor draining. */
  readonly serving: boolean;
  readonly draining: boolean;
  /** Stopped for good after its budget was spent, until a trial or a reset. */
  readonly quarantined: boolean;
  /** Failures charged within the window. */
  readonly attemptsUsed: number;
  /** null: not measured yet, never 0 for missing. */
  readonly cpuPercent: number | null;
  readonly memoryBytes: number | null;
  /** Event-loop utilisation 0–100, where an agent reports it. */
  readonly eluPercent: number | null;
  readonly agent: AgentPresence;
  /** Whether its memory grows for good, and when it would meet a limit. */
  readonly memoryTrend: MemoryTrend;
  /** Work that waits for its event loop, as percent of one core over 10 s, 0–100, where an agent reports it. */
  readonly backlogPercent: number | null;
}

export type ServiceState =
  /** Wanted and serving counts agree. */
  | 'healthy'
  /** Something serves, but less than wanted. */
  | 'degraded'
  /** Nothing serves. */
  | 'unhealthy'
  /** Its restart budget is spent: held until a trial passes or an operator resets it. */
  | 'quarantined'
  /** As many serve as are wanted, but some of them have never passed the probe. */
  | 'unverified'
  /** Stopped by an operator through PM2. */
  | 'stopped'
  /** Ended as intended, and nothing is to be started: a job between two runs, or one of its stop_exit_codes. */
  | 'finished'
  /** Let go by an operator, or no longer configured: shown, and left alone. */
  | 'released';

export interface ServiceView {
  readonly name: string;
  readonly state: ServiceState;
  readonly desired: number;
  readonly serving: number;
  readonly min: number;
  readonly max: number;
  /** Why it is in this state and what happens next, one sentence. */
  readonly reason: string;
  /** Why it does not serve as it should; null when it does, or when that is not known (yet). */
  readonly diagnosis: Diagnosis | null;
  /** Files that did not verify in a deploy lie in its folder; null when none do. */
  readonly unprovenFiles: UnprovenFiles | null;
  /** What to know before its next instance is started: that this one would not be as those that run, for example. */
  readonly startWarnings: readonly string[];
  /** What is wrong with its settings in view of each other, or with the ports of its instances, a sentence each. */
  readonly warnings: readonly string[];
  readonly operation: { readonly id: string; readonly kind: OperationKind; readonly since: string } | null;
  readonly instances: readonly InstanceView[];
}

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
