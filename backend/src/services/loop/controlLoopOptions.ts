/** What the control loop is made of and with: the world (ports.ts), and what was configured. */
import type { ManagedProcess } from '../../domain/model.js';
import type { ServicePolicy } from '../../domain/policy.js';
import type {
  AgentLink,
  BlackBoxStore,
  BuildStore,
  Clock,
  ConnectionMeter,
  FactFinder,
  HostMeter,
  Logger,
  ProcessManager,
  ProcessMeter,
  ProcessStates,
  Prober,
  StateStore,
  StderrLog,
} from '../../ports.js';
import type { EventLog } from '../events/eventLog.js';

export interface ControlLoopOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly newId: () => string;
  readonly manager: ProcessManager;
  readonly prober: Prober;
  readonly processMeter: ProcessMeter;
  readonly connectionMeter: ConnectionMeter;
  readonly hostMeter: HostMeter;
  readonly agents: AgentLink;
  readonly processStates: ProcessStates;
  readonly store: StateStore;
  readonly blackBoxes: BlackBoxStore;
  readonly stderr: StderrLog;
  readonly facts: FactFinder;
  readonly builds: BuildStore;
  /** What instances of a service run, as PM2 was told; null while none is listed. */
  readonly scriptOf: (service: string) => string | null;
  /** Of Holdfast, for what is kept of a failure. */
  readonly version: string;
  readonly events: EventLog;
  readonly logger: Logger;
  readonly policies: readonly ServicePolicy[];
  /** How many instances a service begins with when nothing is remembered of it. */
  readonly initialInstances: (service: string) => number;
  /** Whether the ecosystem file or config.yml still names it. Asked before a service of which nothing is left is started. */
  readonly isConfigured: (service: string) => Promise<boolean>;
  /** What to know before the next instance of a service is started. */
  readonly startWarnings: (service: string) => readonly string[];
  readonly observeIntervalMs: number;
  /** PM2's daemon is a new one and our own process may be unknown to it. Called after each list until it resolves. */
  readonly onDaemonReplaced: (processes: readonly ManagedProcess[]) => Promise<void>;
}
