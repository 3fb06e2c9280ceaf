/**
 * The promises over time, as rules for every tick: what is desired, quarantines, budgets, and restarts of the supervisor.
 * They keep books of their own: of what was said, charged and seen, from events and calls, over all lives of the supervisor.
 */
import { instanceKey, isAlive } from '../../backend/src/domain/model.js';
import type { FailureCause, InstanceId } from '../../backend/src/domain/model.js';
import { clampInstances } from '../../backend/src/domain/policy.js';
import type { EventRecord } from '../../backend/src/domain/events.js';
import type { SupervisedService } from '../../backend/src/services/service/supervisedService.js';
import type { World } from './world.js';

export const PROMISES = [
  'desired is what was last said', // by an operator or the autoscaler
  'every quarantine can end',
  'budgets are charged once and never lost',
  'a restart of the supervisor changes nothing',
] as const;

type Note = (rule: (typeof PROMISES)[number], problem: string) => void;

interface Entry {
  readonly id: InstanceId;
  readonly place: number;
  readonly atMs: number;
  readonly cause: FailureCause;
}

const TICK_MS = 1_000;
/** Longer than any wait between two looks or actions. */
const TRIAL_OVERDUE_MS = 300_000;

/** What is kept of one service. */
interface Book {
  said: number | null;
  /** Since when (Clock.nowMs) a trial is due and nothing is in its way, or one is under way. */
  trialDueSinceMs: number | null;
  trialSinceMs: number | null;
  stoppedSinceMs: number | null;
  charges: Entry[];
  /** Keys of those that were charged and have not served since. */
  readonly charged: Set<string>;
  /** Which place a number belongs to: that of what it replaces. */
  readonly places: Map<number, number>;
}

export class Promises {
  readonly #world: World;
  readonly #note: Note;
  readonly #books = new Map<string, Book>();
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #nextPlace = 1_000_000;
  #daemonPid: number | null = null;
  #wasSaved = true;
  #before: ReadonlyMap<string, string> | null = null;

  constructor(world: World, note: Note) {
    this.#world = world;
    this.#note = note;
  }

  supervisorStarted(): void {
    const { loop, ha } = this.#world;
    const record = loop.failover.recordFailure.bind(loop.failover);
    // A supervisor that was killed does nothing more.
    const isDead = (): boolean => this.#world.loop !== loop;
    loop.failover.recordFailure = (id, cause, detail) => {
      if (!isDead()) this.#onCharge(id, cause);
      return record(id, cause, detail);
    };
    this.#hearCalls();
    ha.subscribe((event) => void (isDead() || this.#onEvent(event)));
    for (const [name, service] of loop.services) {
      const book = this.#book(name);
      book.trialDueSinceMs = book.trialSinceMs = book.stoppedSinceMs = null;
      if (this.#before === null) continue;
      if (!this.#wasSaved) {
        // What could not be written down is forgotten.
        Object.assign(book, { said: null, charges: [] });
        this.#world.pm2.touched.add(name);
        for (const row of this.#world.pm2.rows(name)) row.isHalted = false;
        book.charged.clear();
        book.places.clear();
        continue;
      }
      const after = this.#picture(service);
      const before = this.#before.get(name);
      if (before !== undefined && before !== after) {
        this.#note('a restart of the supervisor changes nothing', `${name}: ${before} became ${after}`);
      }
    }
  }

  /** These calls change what is wanted or charged at once, and tell of it when that is on the disk. */
  #hearCalls(): void {
    const { loop, pm2 } = this.#world;
    const setRunning = loop.setRunning.bind(loop);
    loop.setRunning = (running) => {
      if (!running && loop.running) pm2.touched.clear();
      const answer = setRunning(running);
      // What an operator added or took away through PM2 while management was off counts as said.
      for (const { name, desired } of running ? loop.services.values() : []) {
        if (pm2.touched.has(name)) this.#book(name).said = desired;
      }
      return answer;
    };
    const setReleased = loop.setReleased.bind(loop);
    loop.setReleased = (service, released) => {
      const answer = setReleased(service, released);
      // What runs when it is taken back is what is wanted.
      if (!released) this.#book(service.name).said = service.desired;
      return answer;
    };
    const reset = loop.failover.reset.bind(loop.failover);
    loop.failover.reset = (name) => {
      this.#book(name).charges = [];
      return reset(name);
    };
  }

  supervisorKilled(): void {
    this.#wasSaved = this.#world.store.isCurrent;
    const services = [...this.#world.loop.services.values()].filter(({ adopted }) => adopted);
    this.#before = new Map(services.map((service) => [service.name, this.#picture(service)]));
  }

  /** What must survive, in words. */
  #picture(service: SupervisedService): string {
    const { loop, pm2 } = this.#world;
    const { name, desired, operation, letGo, leaving } = service;
    const { draining, recycling } = leaving.snapshot();
    const listed = new Set(pm2.rows(name).map(instanceKey));
    const keys = [...draining, ...recycling].map(({ key }) => key);
    return JSON.stringify({
      running: loop.running,
      desired,
      operation: operation?.id ?? null,
      released: letGo === 'released',
      // What PM2 does not list any more is forgotten at the next look.
      leaving: keys.filter((key) => listed.has(key)),
    });
  }

  look(): void {
    const loop = this.#world.loop as World['loop'] | undefined;
    const nowMs = this.#world.clock.nowMs();
    if (loop === undefined) return;
    for (const service of loop.services.values()) this.#forgive(service);
    if (nowMs - this.#lookedAtMs < TICK_MS) return;
    this.#lookedAtMs = nowMs;
    if (this.#daemonPid !== loop.observer.daemonPid) {
      this.#daemonPid = loop.observer.daemonPid;
      for (const book of this.#books.values()) {
        book.charges = [];
        book.charged.clear();
        book.places.clear();
      }
    }
    for (const service of loop.services.values()) {
      if (!service.adopted) continue;
      const book = this.#book(service.name);
      this.#lookAtDesired(service, book);
      this.#lookAtQuarantine(service, book);
      this.#lookAtCharges(service, book);
    }
  }

  /** What was well again, or is leaving, may fail once more. */
  #forgive(service: SupervisedService): void {
    const { charged } = this.#book(service.name);
    for (const process of charged.size === 0 ? [] : service.processes) {
      const key = instanceKey(process);
      const isWell = this.#world.loop.health.state(key)?.kind === 'fit';
      if (isWell || service.isDraining(process) || service.letGo !== null) charged.delete(key);
    }
  }

  #lookAtDesired(service: SupervisedService, book: Book): void {
    const { name, desired, policy } = service;
    book.said ??= desired;
    if (desired !== book.said && desired !== clampInstances(book.said, policy)) {
      const problem = `${name}: ${book.said} was said, and ${desired} are desired`;
      this.#note('desired is what was last said', problem);
    }
    book.said = desired;
  }

  #lookAtQuarantine(service: SupervisedService, book: Book): void {
    const { loop, clock, pm2 } = this.#world;
    const { name, policy } = service;
    const now = clock.nowMs();
    const quarantine = loop.failover.quarantine(name);
    const daemonAnswers = loop.observer.isConnected() && pm2.isAnswering;
    const isFree =
      daemonAnswers &&
      pm2.startRefusal === 0 &&
      loop.running &&
      service.letGo === null &&
      service.operation === null &&
      !service.isJob();
    const isDue = quarantine.kind === 'quarantined' && !(quarantine.nextTrialAtMs > clock.wallMs());
    book.trialDueSinceMs =
      isDue && isFree && service.state() !== 'stopped' ? (book.trialDueSinceMs ?? now) : null;
    book.trialSinceMs =
      quarantine.kind === 'trial' && daemonAnswers && pm2.startRefusal === 0
        ? (book.trialSinceMs ?? now)
        : null;
    const longestMs = policy.failure.windowMs + policy.health.startTimeoutMs + TRIAL_OVERDUE_MS;
    const isEndless =
      (book.trialDueSinceMs !== null && now - book.trialDueSinceMs > TRIAL_OVERDUE_MS) ||
      (book.trialSinceMs !== null && now - book.trialSinceMs > longestMs) ||
      (quarantine.kind === 'quarantined' && !Number.isFinite(quarantine.nextTrialAtMs));
    if (isEndless) this.#note('every quarantine can end', `${name}: ${JSON.stringify(quarantine)}`);
    // What an operator did not stop is not to stay down.
    const isMistaken =
      daemonAnswers &&
      service.state() === 'stopped' &&
      pm2.rows(name).every((row) => row.status !== 'stopped' || row.isHalted);
    book.stoppedSinceMs = isMistaken ? (book.stoppedSinceMs ?? now) : null;
    if (book.stoppedSinceMs !== null && now - book.stoppedSinceMs > 5_000) {
      const rows = pm2.rows(name).map(({ pmId, status, isHalted }) => [pmId, status, isHalted === true]);
      const problem = `${name} is taken for stopped by an operator, and was not: ${JSON.stringify(rows)}`;
      this.#note('every quarantine can end', problem);
    }
  }

  #lookAtCharges(service: SupervisedService, book: Book): void {
    const { loop, clock, pm2 } = this.#world;
    const { windowMs } = service.policy.failure;
    // What a build failed of that is taken back is forgiven.
    if (service.operation?.failure != null) book.charges = [];
    // A place has gone with its last row, or when an operator stopped that one.
    const present = pm2.rows(service.name).filter((row) => row.status !== 'stopped' || row.isHalted === true);
    const places = new Set(present.map(({ pmId }) => this.#placeOf(book, pmId)));
    book.charges = book.charges.filter(
      ({ place, atMs }) => places.has(place) && Math.abs(clock.wallMs() - atMs) < windowMs - 1_000,
    );
    if (book.charges.length === 0) return;
    const { slots, quarantine } = loop.failover.snapshot()[service.name]!;
    const held = quarantine.kind === 'none' ? [] : quarantine.holes.map((hole) => hole.charges);
    const onTrial = quarantine.kind === 'trial' ? [quarantine.trialCharges] : [];
    const lists = [...slots.map(({ charges }) => charges), ...held, ...onTrial];
    const kept = new Set(lists.flat().map(({ atMs }) => atMs));
    const living = new Set(service.processes.filter(isAlive).map(({ pmId }) => this.#placeOf(book, pmId)));
    const lost = book.charges.find(({ place, atMs }) => living.has(place) && !kept.has(atMs));
    if (lost === undefined) return;
    const problem = `${service.name}: pm ${lost.id.pmId} was charged (${lost.cause}), and nothing is known of that any more`;
    this.#note('budgets are charged once and never lost', problem);
  }

  #onCharge(id: InstanceId, cause: FailureCause): void {
    // Before its first list a supervisor does not know what runs, and under which daemon.
    if (this.#world.loop.services.get(id.service)?.adopted !== true) return;
    const book = this.#book(id.service);
    const key = instanceKey(id);
    if (book.charged.has(key)) {
      const problem = `${id.service}: pm ${id.pmId} was charged again (${cause}), and has not served since`;
      this.#note('budgets are charged once and never lost', problem);
    }
    book.charged.add(key);
    const place = this.#placeOf(book, id.pmId);
    book.charges.push({ id, place, atMs: this.#world.clock.wallMs(), cause });
  }

  #onEvent({ type, service: name, data }: EventRecord): void {
    if (name === null) return;
    const book = this.#book(name);
    const { instance, replaces } = data as { instance?: { pmId: number }; replaces?: number };
    switch (type) {
      case 'service.scaled':
        book.said = (data as { to: number }).to;
        return;
      case 'instance.started':
        book.places.set(
          instance!.pmId,
          replaces === undefined ? this.#nextPlace++ : this.#placeOf(book, replaces),
        );
        return;
      case 'instance.serving':
        for (const key of book.charged) if (key.includes(`#${instance!.pmId}@`)) book.charged.delete(key);
        return;
      case 'operation.started':
        if ((data as { kind: string }).kind !== 'deploy') return;
        book.charges = [];
        return;
      case 'service.adopted':
        book.said = (data as { desired: number }).desired;
        return;
      case 'service.reset': // a trial passed; what an operator resets is told late
        if ((data as { by: string }).by.startsWith('pm ')) book.charges = [];
        return;
      case 'operation.failed':
        book.charges = [];
    }
  }

  #placeOf(book: Book, pmId: number): number {
    return book.places.get(pmId) ?? pmId;
  }

  #book(name: string): Book {
    let book = this.#books.get(name);
    if (book === undefined) {
      book = {
        said: null,
        trialDueSinceMs: null,
        trialSinceMs: null,
        stoppedSinceMs: null,
        charges: [],
        charged: new Set(),
        places: new Map(),
      };
      this.#books.set(name, book);
    }
    return book;
  }
}
