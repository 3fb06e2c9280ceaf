/**
 * What is wanted of a service when the supervisor first sees it: what its predecessor remembered, else what runs, at
 * least what is defined. PM2 may still be bringing up the same ecosystem file, or resurrecting what it remembers, when
 * the supervisor is up already; what it added then would take the ports of instances that are still to come. So at
 * first what is missing is waited for, until PM2 has launched nothing for a moment, unless the daemon is the one that the
 * former supervisor knew. A service of which nothing is missing is adopted at once.
 */
import { isAlive, type ManagedProcess } from '../../domain/model.js';
import { clampInstances, whyBounded } from '../../domain/policy.js';
import type { Clock } from '../../ports.js';
import type { EventLog } from '../events/eventLog.js';
import type { FailoverManager } from '../failoverManager.js';
import { putBackWithdrawn } from '../service/announcements.js';
import type { SupervisedService } from '../service/supervisedService.js';

export interface AdoptionOptions {
  readonly clock: Clock;
  readonly events: EventLog;
  readonly failover: FailoverManager;
  /** How many instances a service begins with when nothing is remembered of it. */
  readonly initialInstances: (service: string) => number;
  /** Whether the ecosystem file or config.yml names it now. */
  readonly isConfigured: (service: string) => Promise<boolean>;
}

/** How long after the supervisor's start, or the last launch, PM2 may still be bringing up the rest. */
const BOOT_GRACE_MS = 2_000;
/** The longest start of a file that is waited for: PM2 starts two applications at a time, and `wait_ready` holds up the next. */
const LONGEST_BOOT_MS = 180_000;
/** Between two looks whether a service that was named nowhere any more is configured again. */
const ASK_CONFIGURED_MS = 10_000;

export class Adoption {
  readonly #options: AdoptionOptions;
  readonly #startedMs: number;
  /** Desired counts of a former life. */
  readonly #remembered = new Map<string, number>();
  #daemonChanged = false;
  /** When (Clock.nowMs) PM2 was last seen to bring up something for the first time. */
  #launchedMs = Number.NEGATIVE_INFINITY;
  #numbers: ReadonlySet<number> | null = null;
  #askedAtMs = Number.NEGATIVE_INFINITY;

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

  /** Takes notice of all that PM2 lists: it may be starting the applications of a file, one after the other. */
  look(listed: readonly ManagedProcess[], services: ReadonlyMap<string, SupervisedService>): void {
    const before = this.#numbers;
    this.#numbers = new Set(listed.map(({ pmId }) => pmId));
    const isStartedByPm2 = (one: ManagedProcess): boolean => {
      const isFirst = one.status === 'launching' && one.restarts === 0;
      if (!isFirst && (before === null || before.has(one.pmId))) return false;
      return services.get(one.service)?.provenance.isProven(one) !== true;
    };
    if (listed.some(isStartedByPm2)) this.#launchedMs = this.#options.clock.nowMs();
  }

  /** Until PM2 has launched nothing for a moment, which is not waited for without end. */
  #isBooting(): boolean {
    const nowMs = this.#options.clock.nowMs();
    if (nowMs - this.#startedMs >= LONGEST_BOOT_MS) return false;
    return nowMs - Math.max(this.#startedMs, this.#launchedMs) < BOOT_GRACE_MS;
  }

  /** Adopts the service as soon as what is wanted of it is known. Idempotent. */
  review(service: SupervisedService): void {
    if (service.adopted) return;
    const { initialInstances, failover } = this.#options;
    const live = service.processes.filter(isAlive).length;
    const remembered = this.#remembered.get(service.name);
    const wanted = remembered ?? Math.max(live, initialInstances(service.name));
    const isBooting = this.#isBooting();
    const mayBeStarting = remembered === undefined || this.#daemonChanged;
    if (isBooting && (live === 0 || (mayBeStarting && live < wanted))) return;
    if (remembered === undefined) service.found = live;
    bound(service, wanted, this.#options);
    failover.dropHoles(service.name, Math.max(0, wanted - service.desired), service.runningNumbers());
    service.adopted = true;
  }

  /** A service that was named nowhere any more is taken care of again once it is, and PM2 lists something of it. */
  reviewUnconfigured(services: readonly SupervisedService[]): void {
    const { clock } = this.#options;
    if (clock.nowMs() - this.#askedAtMs < ASK_CONFIGURED_MS) return;
    const listed = services.filter((one) => one.letGo === 'unconfigured' && one.processes.length > 0);
    if (listed.length > 0) this.#askedAtMs = clock.nowMs();
    for (const service of listed) void this.#takeBackConfigured(service);
  }

  async #takeBackConfigured(service: SupervisedService): Promise<void> {
    const { name } = service;
    const { events, isConfigured } = this.#options;
    // Meanwhile an operator may have adopted it.
    if (!(await isConfigured(name)) || service.letGo !== 'unconfigured' || !takeBack(service, { events }))
      return;
    events.emit('service.adopted', { service: name, by: 'its configuration', desired: service.desired });
  }
}

/** Management is switched off: what was on its way out stays, unless an operation wants it gone, and what runs now is remembered. */
export function leaveAlone(
  service: SupervisedService,
  world: { readonly events: EventLog; readonly clock: Clock },
): void {
  if (service.operation === null) putBackWithdrawn(service, world, 'management was switched off');
  service.runningWhenOff = [...service.runningNumbers()];
}

/** What an operation starts and ends while management is off is no change that an operator made through PM2. */
export function countOperation(service: SupervisedService): void {
  if (service.runningWhenOff === null || service.operation === null) return;
  service.runningWhenOff = [...service.runningNumbers()];
}

/**
 * While management was off, operators may have scaled through PM2: what they added or took away changes what is wanted by
 * as much. What was starting, leaving, or quarantined when it was switched off was never wanted on top, so it changes
 * nothing. Of a service with an operation under way, what that operation asked for is wanted.
 */
export function takeCount(
  service: SupervisedService,
  world: { readonly events: EventLog; readonly failover: FailoverManager },
): void {
  const { failover } = world;
  const before = service.runningWhenOff;
  service.runningWhenOff = null;
  if (!service.adopted || before === null || service.operation !== null) return;
  const known = new Set(before);
  const now = service.runningNumbers();
  const added = [...now].filter((pmId) => !known.has(pmId));
  // A quarantined instance that an operator started again fills its own place.
  const resumed = added.filter((pmId) => failover.quarantinedSlot(service.name, pmId) !== null);
  for (const pmId of resumed) failover.fillHole(service.name, pmId);
  // All stopped is a service that an operator stopped: when it is started again, as many are wanted as before.
  if (now.size === 0) return;
  const removed = before.filter((pmId) => !now.has(pmId) && !hasFailed(service, pmId));
  const change = added.length - resumed.length - removed.length;
  // What an operator added may fill a place that was missing: no more are wanted than there are.
  const most = Math.max(service.desired, now.size + failover.holes(service.name));
  if (change !== 0) setWanted(service, Math.min(most, service.desired + change), world);
}

/** Also one whose end is not judged yet: what an operator stopped is stopped. */
function hasFailed(service: SupervisedService, pmId: number): boolean {
  const status = service.find(pmId)?.status;
  return service.ends.hasEndedUnasked(pmId) || status === 'errored' || status === 'waiting restart';
}

/** As many are wanted as the configuration allows; where that is another number, it is told why. */
function bound(service: SupervisedService, wanted: number, { events }: { readonly events: EventLog }): void {
  const { name, policy } = service;
  const to = clampInstances(wanted, policy);
  service.desired = to;
  if (to === wanted) return;
  const reason = whyBounded(wanted, to);
  events.emit('service.scaled', { service: name, from: wanted, to, by: 'autoscaler', reason });
}

/** Never fewer than run: places that would be taken from them are the empty ones. */
function setWanted(
  service: SupervisedService,
  count: number,
  { events, failover }: { readonly events: EventLog; readonly failover: FailoverManager },
): void {
  const { name, desired } = service;
  const running = service.runningNumbers();
  bound(service, count, { events });
  failover.dropHoles(name, Math.max(0, desired - service.desired), running);
  failover.dropHoles(name, Math.max(0, running.size - (service.desired - failover.holes(name))), running);
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
  service.leaving.stopRecycling();
  // What was spent is no longer counted, and what Holdfast stopped for it is the operator's.
  failover.reset(service.name);
  putBackWithdrawn(service, world, 'the service was released');
  return true;
}

/** What runs now is what is wanted. False when it is taken care of already. */
export function takeBack(service: SupervisedService, world: { readonly events: EventLog }): boolean {
  if (service.letGo === null) return false;
  service.letGo = null;
  const running = service.runningNumbers().size;
  // While management is off, what changes from now on is counted.
  if (service.runningWhenOff !== null) service.runningWhenOff = [...service.runningNumbers()];
  if (!service.adopted || running === 0) return true;
  service.found = running;
  bound(service, running, world);
  return true;
}
