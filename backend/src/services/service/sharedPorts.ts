/**
 * Instances that have the port of another one (domain/network/sharedPorts.ts), as of the last list, and those whose port another
 * program has (services/decide/portWatch.ts). They are not probed and get no traffic, and are replaced one at a time by instances
 * on ports of their own. What they end of meanwhile is not charged: it may be the port.
 */
import { instanceKey, isAlive, refOf } from '../../domain/model.js';
import type { InstanceId, ManagedProcess } from '../../domain/model.js';
import { portDoubles } from '../../domain/network/sharedPorts.js';
import type { EventLog } from '../events/eventLog.js';
import type { SupervisedService } from './supervisedService.js';

/** More than there are instances. */
const FORMER_KEPT = 256;

/** After another program has taken a port, for so long the ports of instances that end are not given out again at once. */
const WARY_MS = 600_000;
const AVOIDED_MS = 60_000;

interface Double {
  readonly process: ManagedProcess;
  /** What has its port, for people. */
  readonly heldBy: string;
}

/** Of one service. */
export class Doubles {
  #byKey: ReadonlyMap<string, Double> = new Map();
  /** By number: the port that another program has. */
  readonly #taken = new Map<number, { readonly port: number; readonly heldBy: string }>();
  /** When (Clock.nowMs) another program last took one. */
  #tookAtMs = Number.NEGATIVE_INFINITY;
  /** By port, when an instance last left it, or lost it. Bounded by the range of ports. */
  readonly #leftAtMs = new Map<number, number>();
  /** Keys of those that were one, the newest last. */
  readonly #former = new Set<string>();

  has(id: InstanceId): boolean {
    return this.#byKey.has(instanceKey(id)) || this.isTaken(id.pmId);
  }

  /** Whether another instance has its port: what is said of that port is said of the other one. */
  isShared(id: InstanceId): boolean {
    return this.#byKey.has(instanceKey(id)) && !this.isTaken(id.pmId);
  }

  /** Whether another program has the port of that number, however often PM2 starts it again. */
  isTaken(pmId: number): boolean {
    return this.#taken.has(pmId);
  }

  /** Another program has the port of that number. @param nowMs Clock.nowMs. @returns whether that is new. */
  take(pmId: number, port: number, heldBy: string, nowMs: number): boolean {
    const isNew = this.#taken.get(pmId)?.heldBy !== heldBy;
    this.#taken.set(pmId, { port, heldBy });
    this.#tookAtMs = nowMs;
    this.gaveUp(port, nowMs);
    return isNew;
  }

  /** An instance has left its port. */
  gaveUp(port: number | null, nowMs: number): void {
    if (port !== null) this.#leftAtMs.set(port, nowMs);
  }

  /** Ports that were left a moment ago, while other programs take such ports. */
  avoided(nowMs: number): ReadonlySet<number> {
    for (const [port, atMs] of this.#leftAtMs) if (nowMs - atMs >= AVOIDED_MS) this.#leftAtMs.delete(port);
    return new Set(nowMs - this.#tookAtMs < WARY_MS ? this.#leftAtMs.keys() : []);
  }

  /** It has its port again. */
  giveBack(pmId: number): void {
    this.#taken.delete(pmId);
  }

  /** Whether it has ever been one. */
  wasOne(id: InstanceId): boolean {
    return this.#former.has(instanceKey(id));
  }

  /** Why it is to be replaced; null: it is no double. */
  reasonOf(id: InstanceId): string | null {
    const double = this.#byKey.get(instanceKey(id));
    return double === undefined ? null : `it has port ${double.process.port}, as ${double.heldBy} has`;
  }

  /** For people, a sentence each. */
  warnings(): readonly string[] {
    return [...this.#byKey.values()].map(
      ({ process, heldBy }) =>
        `pm ${process.pmId} has port ${process.port}, and so has ${heldBy}: it gets no traffic, and is replaced by one with a port of its own`,
    );
  }

  /**
   * Takes notice of a list of the service.
   * @param shared those that have the port of another instance.
   * @returns those of them that were none before.
   */
  become(shared: readonly Double[], listed: readonly ManagedProcess[]): readonly Double[] {
    for (const [pmId, { port }] of this.#taken)
      if (!listed.some((one) => one.pmId === pmId && one.port === port)) this.#taken.delete(pmId);
    const taken = listed.filter(isAlive).flatMap((process) => {
      const found = this.#taken.get(process.pmId);
      return found === undefined ? [] : [{ process, heldBy: found.heldBy }];
    });
    const added = shared.filter(({ process }) => !this.has(process));
    for (const { process } of [...added, ...taken]) this.#former.add(instanceKey(process));
    for (const key of this.#former) if (this.#former.size > FORMER_KEPT) this.#former.delete(key);
    this.#byKey = new Map([...taken, ...shared].map((double) => [instanceKey(double.process), double]));
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
  const all = portDoubles(placed).map(({ process, holder }) => ({ process, heldBy: nameOf(holder) }));
  for (const [name, { doubles }] of services) {
    const isOwn = ({ service }: ManagedProcess): boolean => service === name;
    const shared = all.filter(({ process }) => isOwn(process));
    for (const { process, heldBy } of doubles.become(shared, placed.filter(isOwn)))
      events.emit('instance.portShared', { service: name, instance: refOf(process), heldBy });
  }
}

function nameOf({ service, pmId }: InstanceId): string {
  return `${service}#${pmId}`;
}
