/**
 * The promises of supervision as named rules that no tick of a simulation may break. They are told by what really
 * happens in the fake PM2 (what was started, ended, answers), and by what the control plane says it wants; they share
 * no code with what they check.
 */
import { SURGE } from '../../backend/src/domain/reconcile.js';
import type { SupervisedService } from '../../backend/src/services/supervisedService.js';
import type { Row } from './fakePm2.js';
import type { World } from './world.js';

export const RULES = [
  'one mutation at a time', // of one service
  'one port an instance',
  'desired within bounds',
  'at most max plus surge', // not counting what drains
  'what serves stays until its replacement has passed', // or is surplus: never the last one
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
  /** Since when the desired count is outside its bounds. */
  readonly #outsideSinceMs = new Map<string, number>();

  /** Watches that world from now on, over restarts of its supervisor. */
  constructor(world: World) {
    this.#world = world;
    world.pm2.onEnd = (row) => this.#onEnd(row);
  }

  /** All that was ever broken. */
  broken(): readonly Violation[] {
    const atOnce = this.#world.pm2.violations.map((problem): Violation => ({
      rule: 'one mutation at a time',
      problem,
    }));
    return [...this.#violations, ...atOnce];
  }

  /** Looks at this very moment; what is broken is kept, the first of each rule. */
  look(): void {
    for (const violation of this.#world.policies.flatMap(({ name }) => this.#look(name))) {
      this.#note(violation);
    }
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
    if (new Set(alive.map(({ port }) => port)).size !== alive.length) {
      found.push({ rule: 'one port an instance', problem: `${name}: a port twice` });
    }
    const isWithin = service.desired <= maxInstances && service.desired >= minInstances;
    if (isWithin) this.#outsideSinceMs.delete(name);
    else if (!this.#outsideSinceMs.has(name)) this.#outsideSinceMs.set(name, clock.nowMs());
    // New bounds count from the next look on.
    else if (clock.nowMs() - this.#outsideSinceMs.get(name)! >= 1_500) {
      found.push({ rule: 'desired within bounds', problem: `${name}: desired ${service.desired}` });
    }
    const draining = service.processes.filter((one) => service.isDraining(one)).length;
    if (alive.length - draining > maxInstances + SURGE) {
      const problem = `${name}: ${alive.length} alive, ${draining} of them draining`;
      found.push({ rule: 'at most max plus surge', problem });
    }
    return found;
  }

  /** Holdfast ends that one now. What it has is what is seen from outside: whether it would answer a request. */
  #onEnd(row: Row): void {
    const { loop, pm2 } = this.#world;
    const service = loop.services.get(row.service);
    if (service === undefined || !pm2.serves(row) || !this.#hasServed(row)) return;
    // What keeps dying is halted for that, also in a moment in which it answers.
    if (loop.failover.quarantinedSlot(row.service, row.pmId)?.failOpen === false) return;
    const stays = (other: Row): boolean => other.pmId !== row.pmId && !isLeaving(service, other);
    const others = pm2.alive(row.service).filter(stays);
    const passed = service.serving().filter(({ pmId }) => pmId !== row.pmId).length;
    // Those that serve as it does count as well: then it was one too many.
    const serving = others.filter((other) => pm2.serves(other) && this.#hasServed(other)).length;
    if (passed > 0 || serving >= Math.max(1, service.desired)) return;
    const problem =
      `${row.service}: pm ${row.pmId} answered and was ended at ${this.#world.clock.nowMs()} ms, ` +
      `while ${passed} others had passed and ${serving} of ${service.desired} served`;
    this.#note({ rule: 'what serves stays until its replacement has passed', problem });
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
