/**
 * Instances that have the port of another one (domain/sharedPorts.ts), as of the last list. They are not probed and get no
 * traffic, and are replaced one at a time by instances on ports of their own. What they end of meanwhile is not charged: it
 * may be the port.
 */
import { instanceKey, refOf } from '../domain/model.js';
import type { InstanceId, ManagedProcess } from '../domain/model.js';
import { portDoubles } from '../domain/sharedPorts.js';
import type { PortDouble } from '../domain/sharedPorts.js';
import type { EventLog } from './eventLog.js';
import type { SupervisedService } from './supervisedService.js';

/** More than there are instances. */
const FORMER_KEPT = 256;

/** Of one service. */
export class Doubles {
  #byKey: ReadonlyMap<string, PortDouble> = new Map();
  /** Keys of those that were one, the newest last. */
  readonly #former = new Set<string>();

  has(id: InstanceId): boolean {
    return this.#byKey.has(instanceKey(id));
  }

  /** Whether it has ever been one. */
  wasOne(id: InstanceId): boolean {
    return this.#former.has(instanceKey(id));
  }

  /** Why it is to be replaced; null: it is no double. */
  reasonOf(id: InstanceId): string | null {
    const double = this.#byKey.get(instanceKey(id));
    return double === undefined
      ? null
      : `it has port ${double.process.port}, as ${nameOf(double.holder)} has`;
  }

  /** For people, a sentence each. */
  warnings(): readonly string[] {
    return [...this.#byKey.values()].map(
      ({ process, holder }) =>
        `pm ${process.pmId} has port ${process.port}, and so has ${nameOf(holder)}: it gets no traffic, and is replaced by one with a port of its own`,
    );
  }

  /** @returns those that were none before. */
  become(doubles: readonly PortDouble[]): readonly PortDouble[] {
    const added = doubles.filter(({ process }) => !this.has(process));
    for (const { process } of added) this.#former.add(instanceKey(process));
    for (const key of this.#former) if (this.#former.size > FORMER_KEPT) this.#former.delete(key);
    this.#byKey = new Map(doubles.map((double) => [instanceKey(double.process), double]));
    return added;
  }
}

/** Looks through a list. Where a service has no ports of its own to give, nothing follows from a PORT in its environment. */
export function findDoubles(
  listed: readonly ManagedProcess[],
  services: ReadonlyMap<string, SupervisedService>,
  events: EventLog,
): void {
  const placed = listed.filter(({ service }) => (services.get(service)?.policy.ports ?? null) !== null);
  const all = portDoubles(placed);
  for (const [name, { doubles }] of services) {
    for (const { process, holder } of doubles.become(all.filter(({ process }) => process.service === name))) {
      const heldBy = nameOf(holder);
      events.emit('instance.portShared', { service: name, instance: refOf(process), heldBy });
    }
  }
}

function nameOf({ service, pmId }: InstanceId): string {
  return `${service}#${pmId}`;
}
