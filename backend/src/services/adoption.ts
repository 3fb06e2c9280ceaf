/**
 * What is wanted of a service when the supervisor first sees it: what its predecessor remembered, else what runs, at
 * least what is defined. PM2 may still be bringing up the same ecosystem file, or resurrecting what it remembers, when
 * the supervisor is up already; what it added then would take the ports of instances that are still to come. So at
 * first it waits a moment for what is missing, unless the daemon is the one that its predecessor knew.
 */
import { isAlive } from '../domain/model.js';
import { clampInstances } from '../domain/policy.js';
import type { Clock } from '../ports.js';
import type { EventLog } from './eventLog.js';
import type { FailoverManager } from './failoverManager.js';
import { putBackWithdrawn } from './reconciler.js';
import type { SupervisedService } from './supervisedService.js';

export interface AdoptionOptions {
  readonly clock: Clock;
  readonly failover: FailoverManager;
  /** How many instances a service begins with when nothing is remembered of it. */
  readonly initialInstances: (service: string) => number;
}

/** How long after the supervisor's start PM2 may still be bringing up the rest. */
const BOOT_GRACE_MS = 2_000;

export class Adoption {
  readonly #options: AdoptionOptions;
  readonly #startedMs: number;
  /** Desired counts of a former life. */
  readonly #remembered = new Map<string, number>();
  #daemonChanged = false;

  constructor(options: AdoptionOptions) {
    this.#options = options;
    this.#startedMs = options.clock.nowMs();
  }

  remember(service: string, desired: number): void {
    this.#remembered.set(service, desired);
  }

  /** PM2's daemon is not the one that the predecessor knew, or became a new one in this life. */
  daemonReplaced(): void {
    this.#daemonChanged = true;
  }

  /** Whether anything is known of it that is worth to be kept. */
  isKnown({ name, adopted }: SupervisedService): boolean {
    return adopted || this.#remembered.has(name);
  }

  /** Adopts the service as soon as what is wanted of it is known. Idempotent. */
  review(service: SupervisedService): void {
    if (service.adopted) return;
    const { clock, initialInstances, failover } = this.#options;
    const live = service.processes.filter(isAlive).length;
    const remembered = this.#remembered.get(service.name);
    const wanted = remembered ?? Math.max(live, initialInstances(service.name));
    const isBooting = clock.nowMs() - this.#startedMs < BOOT_GRACE_MS;
    const mayBeStarting = remembered === undefined || this.#daemonChanged;
    if (isBooting && (live === 0 || (mayBeStarting && live < wanted))) return;
    service.desired = clampInstances(wanted, service.policy);
    failover.dropHoles(service.name, Math.max(0, wanted - service.desired));
    service.adopted = true;
  }
}

/** Management is switched off: what was on its way out stays, and what runs now is remembered. */
export function leaveAlone(
  service: SupervisedService,
  world: { readonly events: EventLog; readonly clock: Clock },
): void {
  putBackWithdrawn(service, world, 'management was switched off');
  service.runningWhenOff = [...service.runningNumbers()];
}

/**
 * While management was off, operators may have scaled through PM2: what they added or took away changes what is wanted by
 * as much. What was starting, leaving, or quarantined when it was switched off was never wanted on top, so it changes
 * nothing.
 */
export function takeCount(service: SupervisedService, failover: FailoverManager): void {
  const before = service.runningWhenOff;
  service.runningWhenOff = null;
  if (!service.adopted || before === null) return;
  const known = new Set(before);
  const now = service.runningNumbers();
  const added = [...now].filter((pmId) => !known.has(pmId));
  // A quarantined instance that an operator started again fills its own place.
  const resumed = added.filter((pmId) => failover.quarantinedSlot(service.name, pmId) !== null);
  for (const pmId of resumed) failover.forgetSlot(service.name, pmId);
  const removed = before.filter((pmId) => !now.has(pmId) && !service.hasEndedUnasked(pmId));
  const change = added.length - resumed.length - removed.length;
  if (change !== 0) setWanted(service, service.desired + change, failover);
}

/** Never fewer than run: places that would be taken from them are the empty ones. */
function setWanted(service: SupervisedService, count: number, failover: FailoverManager): void {
  const { name } = service;
  const running = service.runningNumbers().size;
  const to = clampInstances(count, service.policy);
  failover.dropHoles(name, Math.max(0, service.desired - to));
  service.desired = to;
  failover.dropHoles(name, Math.max(0, running - (to - failover.holes(name))));
}

/** An operator lets the service go: it stays as it is. False when it was left alone already. */
export function letGo(
  service: SupervisedService,
  failover: FailoverManager,
  world: { readonly events: EventLog; readonly clock: Clock },
): boolean {
  if (service.letGo !== null) return false;
  service.letGo = 'released';
  service.incident = null;
  service.stopRecycling();
  // What was spent is no longer counted, and what Holdfast stopped for it is the operator's.
  failover.reset(service.name);
  putBackWithdrawn(service, world, 'the service was released');
  return true;
}

/** What runs now is what is wanted. False when it is taken care of already. */
export function takeBack(service: SupervisedService): boolean {
  if (service.letGo === null) return false;
  service.letGo = null;
  const running = service.runningNumbers().size;
  if (service.adopted && running > 0) service.desired = clampInstances(running, service.policy);
  return true;
}
