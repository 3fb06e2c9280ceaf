/**
 * The promises of supervision as named rules that no tick of a simulation may break. They are told by what really
 * happens in the fake PM2 (what was started, ended, answers), and by what the control plane says it wants; they share
 * no code with what they check.
 */
import { PROMISES, Promises } from './promises.js';
import { SURGE } from '../../backend/src/domain/reconcile/reconcile.js';
import type { SupervisedService } from '../../backend/src/services/service/supervisedService.js';
import type { Row } from './fakePm2.js';
import type { World } from './world.js';

export const RULES = [
  'one mutation at a time', // of one service
  'one port an instance', // of those that get traffic, whatever PM2 was told
  'desired within bounds',
  'at most max plus surge', // not counting what drains
  'what serves stays until its replacement has passed', // or is surplus: never the last one
  'every operation ends', // while PM2 answers
  'what is saved can be read back', // as a whole, and every number in it is finite
  ...PROMISES,
] as const;

export type Rule = (typeof RULES)[number];

export interface Violation {
  readonly rule: Rule;
  readonly problem: string;
  /** What happened before, newest last. */
  readonly events?: readonly string[];
}

const EVENTS_SHOWN = 30;

export class RuleBook {
  readonly #world: World;
  readonly #violations: Violation[] = [];
  readonly #promises: Promises;
  /** Since when the desired count is outside its bounds. */
  readonly #outsideSinceMs = new Map<string, number>();

  /** Watches that world from now on, over restarts of its supervisor. */
  constructor(world: World) {
    this.#world = world;
    world.pm2.onEnd = (row) => this.#onEnd(row);
    world.store.onSaved = (state) => this.#onSaved(state);
    this.#promises = new Promises(world, (rule, problem) => this.#note({ rule, problem }));
  }

  /** All that was ever broken. */
  broken(): readonly Violation[] {
    const atOnce = this.#world.pm2.violations.map((problem): Violation => ({
      rule: 'one mutation at a time',
      problem,
    }));
    return [...this.#violations, ...atOnce];
  }

  supervisorStarted(): void {
    this.#promises.supervisorStarted();
  }

  supervisorKilled(): void {
    this.#promises.supervisorKilled();
  }

  /** By service: the operation under way, and how long it has been while PM2 answered. */
  readonly #operations = new Map<string, { readonly id: string; forMs: number }>();
  #lookedAtMs = 0;

  /** Looks at this very moment; what is broken is kept, the first of each rule. */
  look(): void {
    const nowMs = this.#world.clock.nowMs();
    const elapsedMs = this.#world.pm2.isAnswering ? nowMs - this.#lookedAtMs : 0;
    this.#lookedAtMs = nowMs;
    for (const { name } of this.#world.policies) this.#lookAtOperation(name, elapsedMs);
    this.#promises.look();
    this.#lookAtPorts();
    for (const violation of this.#world.policies.flatMap(({ name }) => this.#look(name))) {
      this.#note(violation);
    }
  }

  /** Two at one port: the answers of one would count for both. */
  #lookAtPorts(): void {
    const services = (this.#world.loop as World['loop'] | undefined)?.services.values() ?? [];
    const used = new Map<number, string>();
    for (const { service, pmId, port } of [...services].flatMap((service) => service.serving())) {
      if (port === null) continue;
      const other = used.get(port);
      used.set(port, `${service}#${pmId}`);
      if (other === undefined) continue;
      this.#note({
        rule: 'one port an instance',
        problem: `${other} and ${service}#${pmId} serve at ${port}`,
      });
    }
  }

  #lookAtOperation(name: string, elapsedMs: number): void {
    const service = (this.#world.loop as World['loop'] | undefined)?.services.get(name);
    const operation = service?.operation ?? null;
    if (service === undefined || operation === null) return void this.#operations.delete(name);
    const known = this.#operations.get(name);
    if (known?.id !== operation.id) return void this.#operations.set(name, { id: operation.id, forMs: 0 });
    known.forMs += elapsedMs;
    const { scaling, health, failure, lifecycle } = service.policy;
    // Each instance that there may be is replaced once, by the last of all attempts; and all of it may be taken back.
    const attemptMs = health.startTimeoutMs + lifecycle.killTimeoutMs + 10_000;
    const stepMs = (failure.maxRestartAttempts + 1) * attemptMs + 120_000;
    if (known.forMs <= 2 * (scaling.maxInstances + SURGE) * stepMs) return;
    const problem = `${name}: ${operation.kind} has been under way for ${Math.round(known.forMs / 1000)} s`;
    this.#note({ rule: 'every operation ends', problem });
  }

  /** A number that is none becomes null in JSON. */
  #onSaved(state: unknown): void {
    if (isWhole(state)) return;
    const [path] = numbersThatAreNone(state);
    if (path !== undefined) this.#note({ rule: 'what is saved can be read back', problem: path });
  }

  #note(violation: Violation): void {
    if (this.#violations.some(({ rule }) => rule === violation.rule)) return;
    const events = this.#world.history.events
      .slice(-EVENTS_SHOWN)
      .map(({ at, type, data }) => `${at.slice(11)} ${type} ${JSON.stringify(data)}`);
    this.#violations.push({ ...violation, events });
  }

  #look(name: string): readonly Violation[] {
    const { loop, pm2, clock } = this.#world;
    // No supervisor has been started yet.
    const service = (loop as typeof loop | undefined)?.services.get(name);
    if (service === undefined) return [];
    const found: Violation[] = [];
    const { minInstances, maxInstances } = service.policy.scaling;
    const alive = pm2.alive(name);
    const isWithin = service.desired <= maxInstances && service.desired >= minInstances;
    if (isWithin) this.#outsideSinceMs.delete(name);
    else if (!this.#outsideSinceMs.has(name)) this.#outsideSinceMs.set(name, clock.nowMs());
    // New bounds count from the next look on.
    else if (clock.nowMs() - this.#outsideSinceMs.get(name)! >= 1_500) {
      found.push({ rule: 'desired within bounds', problem: `${name}: desired ${service.desired}` });
    }
    const draining = service.processes.filter((one) => service.isDraining(one)).length;
    // What an operator starts beside them is none of Holdfast's.
    const more = alive.filter(({ isOperators }) => isOperators === true).length;
    if (alive.length - draining - more > maxInstances + SURGE) {
      const problem = `${name}: ${alive.length} alive, ${draining} of them draining, ${more} by an operator`;
      found.push({ rule: 'at most max plus surge', problem });
    }
    return found;
  }

  /**
   * Holdfast asks for the end of that one now. What it has is what is seen from outside: whether it would answer a request.
   * What happens to the others until PM2 has carried it out can't be known.
   */
  #onEnd(row: Row): () => void {
    const none = (): void => undefined;
    const { loop, pm2 } = this.#world;
    const service = loop.services.get(row.service);
    if (service === undefined || !pm2.serves(row) || !this.#hasServed(row)) return none;
    // What keeps dying is halted for that, also in a moment in which it answers.
    if (loop.failover.quarantinedSlot(row.service, row.pmId)?.failOpen === false) return none;
    const stays = (other: Row): boolean => other.pmId !== row.pmId && !isLeaving(service, other);
    const others = pm2.alive(row.service).filter(stays);
    const passed = service.serving().filter(({ pmId }) => pmId !== row.pmId).length;
    // Those that serve as it does count as well: then it was one too many.
    const serving = others.filter((other) => pm2.serves(other) && this.#hasServed(other)).length;
    if (passed > 0 || serving >= Math.max(1, service.desired)) return none;
    const problem =
      `${row.service}: pm ${row.pmId} answered and was ended at ${this.#world.clock.nowMs()} ms, ` +
      `while ${passed} others had passed and ${serving} of ${service.desired} served`;
    return () => this.#note({ rule: 'what serves stays until its replacement has passed', problem });
  }

  /** Not started by Holdfast, or announced once: what never was is no replacement. */
  #hasServed({ pid, isOurs }: Row): boolean {
    return !isOurs || this.#world.eventsOf('instance.serving').some(({ data }) => pidIn(data) === pid);
  }
}

function pidIn(data: object): number | null {
  return 'instance' in data ? (data.instance as { pid: number | null }).pid : null;
}

function isLeaving(service: SupervisedService, row: Row): boolean {
  const { pmId, startedAtMs } = row;
  return service.isDraining({ service: service.name, pmId, startedAtMs });
}

/** The same as the next one, without a path: it is asked at every write. */
function isWhole(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object' || value === null) return true;
  for (const key in value) if (!isWhole((value as Record<string, unknown>)[key])) return false;
  return true;
}

function numbersThatAreNone(value: unknown, path = 'state'): readonly string[] {
  if (typeof value === 'number') return Number.isFinite(value) ? [] : [`${path} is ${value}`];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, one]) => numbersThatAreNone(one, `${path}.${key}`));
}
