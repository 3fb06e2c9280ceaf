import type { RunEnd } from './model.js';
import type { DiagnosisCode } from './diagnosis/facts.js';
import type { FailureCause, InstanceRef, OperationKind } from './model.js';

/**
 * Everything the supervisor tells the world, past tense, emitted after the state changed. One map, one comment
 * each; the API's history and stream, the log and the notifiers all read this.
 */
export interface EventMap {
  /** The control plane is up; `adopted` instances were already running. */
  'supervisor.started': { version: string; adopted: number };
  /** The supervisor was told to end, by this signal. */
  'supervisor.stopping': { signal: string };
  /** Automatic management was switched on. */
  'management.started': { by: string };
  /** Automatic management was switched off: nothing is replaced or scaled until it is on again. */
  'management.stopped': { by: string };
  /** Something in the state file was not usable: what `problem` names has its default, the rest was kept. `movedTo`: the file as it was. */
  'state.damaged': { movedTo: string; problem: string };
  /** The supervisor waits for a disk that does not answer when it is to read the state, and manages nothing meanwhile. */
  'state.awaited': { problem: string };
  /** The state could not be written; what is remembered lives in memory only until it can be. */
  'state.unwritable': { problem: string };
  /** A changed configuration applies; a correction that leads back to what runs changes nothing. */
  'config.reloaded': { changed: string[] };
  /** A changed configuration was refused; the running one stays. */
  'config.rejected': { problems: string[] };
  /**
   * PM2 has written secrets (`holds`: their variables) to `file`, which others might read (`mode`: its permissions before);
   * now only its owner may.
   */
  'dump.narrowed': { file: string; mode: string; holds: string[] };
  /** PM2's daemon answers again, or for the first time. */
  'daemon.connected': { version: string; pid: number | null };
  /** A call to the daemon ran out of time: it lives but does not answer. */
  'daemon.unresponsive': { forMs: number };
  /** PM2's daemon is gone. */
  'daemon.lost': { problem: string };
  /** A new PM2 daemon was started. */
  'daemon.started': { by: string };
  /** Our own process was not in the new daemon's list; a successor was started and takes over. */
  'supervisor.handedOver': { successorPid: number | null };

  /** It was started and is not ready yet. `replaces`: the number whose place it takes. */
  'instance.started': { service: string; instance: InstanceRef; why: string; replaces?: number };
  /** It passed its probes, or is unverified and answers: traffic may go there from now on. */
  'instance.serving': { service: string; instance: InstanceRef; afterMs: number };
  /** Traffic must not go there any more. */
  'instance.withdrawn': { service: string; instance: InstanceRef; why: string };
  /** PM2 started another process of it at the same port, and the process before begins to stop. */
  'instance.superseded': { service: string; instance: InstanceRef };
  /** It was to leave and is needed again, because others that served do not any more: it is not stopped. */
  'instance.restored': { service: string; instance: InstanceRef; why: string };
  /** The process ended. `charged`: it was counted against the restart budget. `cause`: what it ended of, when that is its own fault. */
  'instance.exited': {
    service: string;
    instance: InstanceRef;
    exitCode: number | null;
    signal: string | null;
    /** False also when the same failure was charged before, or the budget is spent already. */
    charged: boolean;
    ranMs: number;
    /** What it ended of, when that is its own fault: also where nothing is charged for it, or not once more. */
    cause?: FailureCause;
    /** PM2 leaves it down as it was told (autorestart, stop_exit_codes): whether the run did what it should. */
    run?: RunEnd;
    /** PM2 restarts it by itself (`watch`, `max_memory_restart`), or it ended because another program has its port. */
    why?: string;
    /** Id of what is kept of it: GET /api/ha/blackbox/:id. */
    blackBox?: string;
  };
  /** The instance is out of service, for this cause. It is replaced where that helps, and while management is on. */
  'instance.unfit': {
    service: string;
    instance: InstanceRef;
    cause: FailureCause;
    detail: string;
    /** Id of what is kept of it: GET /api/ha/blackbox/:id. */
    blackBox?: string;
  };
  /**
   * It was there before Holdfast and has never passed its probe: it is kept, and gets traffic while it answers. `detail`:
   * what was asked, what came, and what to set.
   */
  'instance.unverified': { service: string; instance: InstanceRef; detail: string };
  /**
   * Another instance has its port, or another program listens there (`heldBy`): this one gets no traffic, and is replaced by one
   * with a port of its own.
   */
  'instance.portShared': { service: string; instance: InstanceRef; heldBy: string };
  /**
   * Its agent reports a blocked main thread; `at` is the innermost frame. Comes a second time when the stack becomes
   * known only later, because native code was running.
   */
  'instance.hung': {
    service: string;
    instance: InstanceRef;
    silentMs: number;
    where: 'javascript' | 'native' | 'unknown';
    at: string | null;
    detail: string;
  };
  /** An instance that hung, was stopped or stalled goes on; `afterMs` since that was found. */
  'instance.resumed': {
    service: string;
    instance: InstanceRef;
    from: 'hung' | 'stopped' | 'stalled';
    afterMs: number;
  };
  /** It was told to stop and has ended. */
  'instance.stopped': { service: string; instance: InstanceRef; why: string; tookMs: number };
  /** The restart budget of this instance is spent; it stays stopped. */
  'instance.quarantined': { service: string; instance: InstanceRef; attempts: number; detail: string };
  /** A live process that PM2 did not list was ended. */
  'stray.ended': { service: string; pid: number; kind: 'ghost' | 'orphan' };
  /** A port of the service's range is held by another program; the next free one is used. */
  'port.occupied': { service: string; port: number; by: string };

  /** The desired count changed. */
  'service.scaled': {
    service: string;
    from: number;
    to: number;
    by: 'autoscaler' | 'operator';
    reason: string;
  };
  /** A restart budget is spent. What is healthy goes on serving; a trial follows. */
  'service.quarantined': { service: string; reason: string; nextTrialMs: number };
  /** One instance of a quarantined service is started, to see whether it lives. */
  'service.trialStarted': { service: string; instance: InstanceRef };
  /** The trial failed; the quarantine goes on. */
  'service.trialFailed': { service: string; detail: string; nextTrialMs: number };
  /** Verified: enough passing probes and a stable period. `afterMs` since the first failure. */
  'service.recovered': { service: string; afterMs: number };
  /** Why it does not serve as it should. `settled`: waiting does not help. */
  'service.diagnosed': {
    service: string;
    code: DiagnosisCode;
    settled: boolean;
    detail: string;
    /** Absent where PM2 starts none. */
    instance?: InstanceRef;
  };
  /** An operator cleared the service's failures; a quarantine is over. */
  'service.reset': { service: string; by: string };
  /** An operator let it go: it is shown, but neither restarted nor stopped nor scaled from now on. */
  'service.released': { service: string; by: string };
  /** Holdfast takes care of it again: an operator asked for it, or it is configured again. `desired`: what was found running. */
  'service.adopted': { service: string; by: string; desired: number };
  /** It is neither in the ecosystem file nor in the configuration any more: it is left alone. */
  'service.unconfigured': { service: string };
  /** Instances stall and replacing one did not help: what they share is likely the cause. No more are replaced for it. */
  'service.stalled': { service: string; detail: string };
  /** PM2 restarts an instance over and over, though it does not fail. `detail`: how often, why, and what to do. */
  'service.restartedOverAndOver': { service: string; detail: string };
  /** An operator stopped every instance through PM2; Holdfast holds still until one is started again. */
  'service.stoppedByOperator': { service: string };

  /** An operator asked for a scale, a failover or a deploy. */
  'operation.started': { service: string; operationId: string; kind: OperationKind; reason: string };
  /** The operation is done and verified. */
  'operation.finished': { service: string; operationId: string; kind: OperationKind; tookMs: number };
  /** The operation did not reach its goal. */
  'operation.failed': { service: string; operationId: string; kind: OperationKind; problem: string };
  /** A gateway on this machine reports traffic, for the first time since it started or fell silent. */
  'gateway.connected': { gateway: string; workers: number };
  /** A gateway announced that it stops. */
  'gateway.left': { gateway: string };
  /** A gateway stopped reporting without notice. Its figures are forgotten, and no stop waits for it. */
  'gateway.silent': { gateway: string; forMs: number };
  /** An action on PM2 failed; it is tried again while it is still needed. */
  'action.failed': { service: string; action: string; problem: string };
}

export type EventType = keyof EventMap;

/** One entry of the history. `seq` grows by one per event within a supervisor's life. */
export interface EventRecord<T extends EventType = EventType> {
  readonly seq: number;
  readonly type: T;
  /** ISO 8601, UTC. */
  readonly at: string;
  /** The service it is about, or null. */
  readonly service: string | null;
  readonly data: EventMap[T];
}

/** How loud an event is: for the log's level and for notifiers (`error` and `warn` are notified). */
export function severityOf(type: EventType): 'info' | 'warn' | 'error' {
  switch (type) {
    case 'service.quarantined':
    case 'service.trialFailed':
    case 'service.stalled':
    case 'daemon.lost':
    case 'daemon.unresponsive':
    case 'state.awaited':
    case 'state.damaged':
    case 'state.unwritable':
      return 'error';
    case 'instance.unfit':
    case 'instance.unverified':
    case 'instance.portShared':
    case 'instance.quarantined':
    case 'service.diagnosed':
    case 'service.restartedOverAndOver':
    case 'operation.failed':
    case 'action.failed':
    case 'config.rejected':
    case 'port.occupied':
    case 'stray.ended':
    case 'gateway.silent':
    case 'dump.narrowed':
      return 'warn';
    default:
      return 'info';
  }
}
