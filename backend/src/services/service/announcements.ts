/**
 * Which instances of a service are announced as serving. What a former supervisor may have announced counts as
 * announced until this one knows better: gateways go on sending traffic there meanwhile.
 */
import { pmIdOf, refOf } from '../../domain/model.js';
import type { Clock } from '../../ports.js';
import type { EventLog } from '../events/eventLog.js';
import type { SupervisedService } from './supervisedService.js';

export class Announcements {
  readonly #announced = new Set<string>();
  /** Keys of what ran when the supervisor was restarted, and has not been judged since. */
  readonly #inherited = new Set<string>();

  inherit(key: string): void {
    this.#inherited.add(key);
  }

  /** Whether gateways may send traffic there, as far as they were told. */
  has(key: string): boolean {
    return this.#announced.has(key) || this.#inherited.has(key);
  }

  /**
   * What changed since the last call.
   * @param serving keys of those that may get traffic now.
   * @param isUndecided whether the first probe of an inherited one is still outstanding.
   */
  update(
    serving: ReadonlySet<string>,
    isUndecided: (key: string) => boolean,
  ): { readonly added: readonly string[]; readonly removed: readonly string[] } {
    const decided = [...this.#inherited].filter((key) => serving.has(key) || !isUndecided(key));
    for (const key of decided) this.#inherited.delete(key);
    const added = [...serving].filter((key) => !this.#announced.has(key));
    const removed = [...this.#announced, ...decided].filter((key) => !serving.has(key));
    for (const key of removed) this.#announced.delete(key);
    for (const key of added) this.#announced.add(key);
    return { added, removed };
  }
}

/** Tells which instances may get traffic now, where that changed. The one place from which these events come. */
export function announce(service: SupervisedService, events: EventLog, clock: Clock, why: string): void {
  const { added, removed } = service.announcements();
  for (const key of removed) {
    const pmId = pmIdOf(key);
    const process = service.find(pmId);
    const instance = process === undefined ? { pmId, pid: null, port: null } : refOf(process);
    // Its place may have a process by now whose port is that of another one, which serves on.
    const isShared = process !== undefined && service.doubles.isShared(process);
    const reason = process?.status === 'stopping' ? 'it was asked to stop' : why;
    const told = isShared ? { ...instance, port: null } : instance;
    events.emit('instance.withdrawn', { service: service.name, instance: told, why: reason });
  }
  for (const process of added) {
    const afterMs = Math.max(0, Math.round(clock.wallMs() - process.startedAtMs));
    events.emit('instance.serving', { service: service.name, instance: refOf(process), afterMs });
  }
}

/** Nothing would stop them while management is off, and they serve as well as ever. */
export function putBackWithdrawn(
  service: SupervisedService,
  { events, clock }: { readonly events: EventLog; readonly clock: Clock },
  why: string,
): void {
  service.stopAllDraining();
  announce(service, events, clock, why);
}
