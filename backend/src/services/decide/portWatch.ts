/**
 * Instances whose port another program has, so that they cannot listen there: PM2 starts what has ended again at once and on
 * the same port, which any process can have taken meanwhile. They are replaced on other ports (services/service/sharedPorts.ts).
 *
 *   has its port ──ends by an error while another process listens on its port──▶ port taken ──▶ replaced
 *        ▲                                                                            │
 *        └──────────────────── no other process listens there any more ───────────────┘
 *
 * Linux. Elsewhere it is not known what listens on a port, and such an instance spends its restart budget.
 */
import { refOf } from '../../domain/model.js';
import type { InstanceId, ManagedProcess } from '../../domain/model.js';
import { isToBlame, type ForeignHolder } from '../../domain/network/sharedPorts.js';
import type { Clock, FactFinder, ProcessManager } from '../../ports.js';
import type { EventLog } from '../events/eventLog.js';
import type { FailoverManager } from '../failoverManager.js';
import type { SupervisedService } from '../service/supervisedService.js';

export interface PortWatchOptions {
  readonly clock: Clock;
  readonly manager: Pick<ProcessManager, 'list'>;
  readonly facts: Pick<FactFinder, 'isListening' | 'foreignHolder'>;
  readonly events: EventLog;
  readonly failover: Pick<FailoverManager, 'delayStart'>;
}

/** Where a port was taken between the choice and the start: a process that does so each time must not be raced. */
const RACE_PAUSE_MS = 5_000;

export class PortWatch {
  readonly #options: PortWatchOptions;

  constructor(options: PortWatchOptions) {
    this.#options = options;
  }

  /**
   * Whether anything listens on the port that an instance has left: then it is worth while to find out what.
   * @param process in its place; undefined: there is none.
   */
  isSuspect({ policy, letGo }: SupervisedService, process: ManagedProcess | undefined): boolean {
    // Without ports of its own to give, several of its instances may share one.
    if (process?.port == null || policy.ports == null || letGo !== null) return false;
    return this.#options.facts.isListening(process.port);
  }

  /**
   * Finds out whether an instance that ended by an error did so because another process has its port. Never rejects.
   * @param wasGivenIt Holdfast has just started it, on a port that was free.
   * @returns what has the port; null: the instance itself is to blame.
   */
  async explain(service: SupervisedService, id: InstanceId, wasGivenIt: boolean): Promise<string | null> {
    const { manager, facts, events, failover, clock } = this.#options;
    const listed = await manager.list().catch(() => []);
    const place = listed.find(({ pmId, service: of }) => pmId === id.pmId && of === service.name);
    const holder = place === undefined ? null : await facts.foreignHolder(place);
    if (place?.port == null || holder === null) return null;
    if (service.doubles.take(place.pmId, place.port, holder.by, clock.nowMs()))
      events.emit('instance.portShared', {
        service: service.name,
        instance: refOf(place),
        heldBy: holder.by,
      });
    if (isToBlame(holder, wasGivenIt)) return null;
    if (wasGivenIt) failover.delayStart(service.name, RACE_PAUSE_MS);
    return `port ${place.port} is held by ${holder.by}`;
  }

  /** Called every look: those whose port is theirs again, or free, need not be replaced. */
  review(service: SupervisedService): void {
    for (const process of service.processes.filter(({ pmId }) => service.doubles.isTaken(pmId)))
      void this.#look(service, process);
  }

  async #look(service: SupervisedService, process: ManagedProcess): Promise<void> {
    const holder: ForeignHolder | null = await this.#options.facts.foreignHolder(process);
    if (holder === null) service.doubles.giveBack(process.pmId);
  }
}
