/** A service and its instances as they are shown and decided upon. */
import type { AgentPresence } from '../agents/agent.js';
import type { Diagnosis } from '../diagnosis/facts.js';
import type { MemoryTrend } from '../memory/memoryTracker.js';
import type { Fitness, ManagedProcess, OperationKind, UnprovenFiles } from '../model.js';
import type { PortOwner } from '../network/portOwner.js';

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
