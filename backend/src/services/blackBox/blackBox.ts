/**
 * Keeps a black box of every instance that is condemned or that dies by its own fault (domain/blackBox says what is in
 * one). FailureWatch opens it when the decision falls and names it in the event; from then on it fills by itself:
 *
 *   decision ──written at once──▶ stack, report, profile: as they come ──outcome known, or WATCHED_MS──▶ written, closed
 *
 * Nobody waits for it. As many as MOST_OPEN are open at a time, the ones whose writing a stuck disk holds up included;
 * those beyond are not kept, and counted.
 */
import type { AgentRecord } from '../../domain/agents/agent.js';
import { blackBoxId } from '../../domain/blackBox/blackBox.js';
import type { BlackBoxEntry, BlackBoxFile, OutsideFigures } from '../../domain/blackBox/blackBox.js';
import { messageOf } from '../../domain/errors.js';
import type { EventRecord } from '../../domain/events.js';
import type { HeapUse } from '../../domain/failures/failover.js';
import { instanceKey } from '../../domain/model.js';
import type { FailureCause, InstanceId } from '../../domain/model.js';
import type { BlackBoxView } from '../../domain/views/controlPlane.js';
import { RingBuffer } from '../../lib/ringBuffer.js';
import type { BlackBoxStore, Clock, Logger, ProcessExit, StderrLog } from '../../ports.js';
import { BlackBoxCase } from './blackBoxCase.js';
import type { Facts } from './blackBoxCase.js';
import { blackBoxFile, blackBoxView } from './blackBoxViews.js';
import type { EventLog } from '../events/eventLog.js';
import type { FailoverManager } from '../failoverManager.js';
import type { HealthMonitor } from '../observe/healthMonitor.js';
import type { SupervisedService } from '../service/supervisedService.js';

export interface BlackBoxOptions {
  readonly clock: Clock;
  readonly events: EventLog;
  readonly health: HealthMonitor;
  readonly failover: FailoverManager;
  readonly store: BlackBoxStore;
  readonly stderr: StderrLog;
  /** What an agent said of that instance; null where there is none. */
  readonly recordOf: (id: InstanceId) => AgentRecord | null;
  readonly logger: Logger;
  /** Of Holdfast. */
  readonly version: string;
}

const MOST_OPEN = 32;
/** What has not been settled by then is written down as such. */
const WATCHED_MS = 120_000;
/** Figures from outside: a minute at one look a second. */
const SAMPLES_KEPT = 60;
/** Of processes that are gone: an exit may be judged some looks later. */
const SAMPLES_KEPT_MS = 60_000;
const EVENTS_BEFORE = 30;
/** A disk that hangs must not keep the process. */
const LONGEST_CLOSE_MS = 10_000;

interface Open {
  readonly id: InstanceId;
  readonly box: BlackBoxCase;
  saving: Promise<void> | null;
  again: boolean;
}

interface Seen {
  readonly samples: RingBuffer<OutsideFigures>;
  lastAtMs: number;
}

export class BlackBox {
  readonly #options: BlackBoxOptions;
  readonly #open = new Map<string, Open>();
  readonly #seen = new Map<string, Seen>();
  readonly #unsubscribe: () => void;
  #refused = 0;

  constructor(options: BlackBoxOptions) {
    this.#options = options;
    this.#unsubscribe = options.events.subscribe((event) => this.#follow(event));
  }

  /** Black boxes, or files of them, that are not there though they should be. */
  dropped(): number {
    return this.#refused + this.#options.store.dropped();
  }

  /** The JavaScript heap in the last figures from inside; null where there are none. */
  heapOf(id: InstanceId): HeapUse | null {
    const figures = this.#options.recordOf(id)?.figures.at(-1);
    if (figures?.heapUsedBytes == null || figures.heapLimitBytes === null) return null;
    return { usedBytes: figures.heapUsedBytes, limitBytes: figures.heapLimitBytes };
  }

  /** A running instance is found unfit, or is to be replaced before it fails. @returns the id of its black box. */
  condemned(
    service: SupervisedService,
    id: InstanceId,
    cause: FailureCause,
    detail: string,
  ): string | undefined {
    return this.#safely(() => this.#begin(service, id, { cause, detail, exit: null }));
  }

  /** An instance has ended by its own fault. @returns the id of its black box. */
  ended(
    service: SupervisedService,
    exit: ProcessExit,
    cause: FailureCause,
    detail: string,
  ): string | undefined {
    const id: InstanceId = { service: service.name, pmId: exit.pmId, startedAtMs: exit.startedAtMs };
    return this.#safely(() => this.#begin(service, id, { cause, detail, exit }));
  }

  list(): Promise<readonly BlackBoxEntry[]> {
    return this.#options.store.list();
  }

  view(id: string): Promise<BlackBoxView> {
    return blackBoxView(this.#options.store, id);
  }

  file(id: string, file: BlackBoxFile): Promise<string> {
    return blackBoxFile(this.#options.store, id, file);
  }

  /** Called every look: takes figures from outside, and what agents have sent of those that are open. */
  look(services: Iterable<SupervisedService>): void {
    const { clock } = this.#options;
    const nowMs = clock.nowMs();
    for (const service of services) {
      for (const process of service.processes) {
        const figures = service.figuresOf(process);
        if (figures === null) continue;
        const { cpuPercent, memoryBytes } = figures;
        const seen = this.#seenOf(instanceKey(process));
        seen.samples.push({ atMs: nowMs, cpuPercent, memoryBytes });
        seen.lastAtMs = nowMs;
      }
    }
    for (const [key, { lastAtMs }] of this.#seen) {
      if (nowMs - lastAtMs > SAMPLES_KEPT_MS && !this.#open.has(key)) this.#seen.delete(key);
    }
    for (const [key, open] of this.#open) {
      if (open.box.settled) continue;
      const hasNews = this.#gather(open);
      const isOver = open.box.ageMs > WATCHED_MS;
      if (isOver) open.box.giveUp();
      if (hasNews || isOver) this.#save(key, open);
    }
  }

  /** Writes what is open as it is. */
  async close(): Promise<void> {
    this.#unsubscribe();
    for (const [key, open] of this.#open) this.#save(key, open);
    const saved = Promise.all([...this.#open.values()].map(({ saving }) => saving));
    let cancel = (): void => undefined;
    const tooLate = new Promise<void>((resolve) => {
      cancel = this.#options.clock.after(LONGEST_CLOSE_MS, resolve);
    });
    await Promise.race([saved, tooLate]);
    cancel();
  }

  #begin(
    service: SupervisedService,
    id: InstanceId,
    judged: { readonly cause: FailureCause; readonly detail: string; readonly exit: ProcessExit | null },
  ): string | undefined {
    const key = instanceKey(id);
    const known = this.#open.get(key);
    // Whatever else befalls it belongs to the same story.
    if (known !== undefined && !known.box.settled) {
      if (judged.exit === null) known.box.condemnedAgain(judged.cause, judged.detail);
      else known.box.ended(judged.exit, judged.cause, judged.detail);
      return known.box.facts.id;
    }
    if (known !== undefined || this.#open.size >= MOST_OPEN) {
      this.#refused += 1;
      return undefined;
    }
    const { clock, version } = this.#options;
    const facts = this.#facts(service, id, judged);
    const open: Open = {
      id,
      box: new BlackBoxCase({ clock, facts, holdfastVersion: version }),
      saving: null,
      again: false,
    };
    this.#open.set(key, open);
    this.#gather(open);
    this.#save(key, open);
    return facts.id;
  }

  #facts(
    service: SupervisedService,
    id: InstanceId,
    { cause, detail, exit }: { cause: FailureCause; detail: string; exit: ProcessExit | null },
  ): Facts {
    const { clock, events, health, failover } = this.#options;
    const wallMs = clock.wallMs();
    const at = new Date(wallMs).toISOString();
    const process = service.find(id.pmId);
    const probe = health.lastProbe(instanceKey(id));
    const others = service.serving().filter(({ pmId }) => pmId !== id.pmId);
    return {
      id: blackBoxId(id, at),
      service: service.name,
      pmId: id.pmId,
      pid: exit?.pid ?? (process?.startedAtMs === id.startedAtMs ? process.pid : null),
      port: process?.port ?? null,
      startedAt: new Date(id.startedAtMs).toISOString(),
      at,
      ranMs: Math.max(0, Math.round(wallMs - id.startedAtMs)),
      cause,
      detail,
      decision: {
        by: exit === null ? 'unfit' : 'exit',
        exitCode: exit?.exitCode ?? null,
        signal: exit?.signal ?? null,
        lastProbe:
          probe === null
            ? null
            : { at: new Date(probe.atWallMs).toISOString(), ok: probe.ok, detail: probe.detail },
        attemptsUsed: failover.attemptsUsed(service.name, id.pmId),
        attemptsMax: service.policy.failure.maxRestartAttempts,
        desired: service.desired,
        serving: others.length,
      },
      before: events.query({ service: service.name, limit: EVENTS_BEFORE }),
    };
  }

  /** @returns whether there is more to write than figures. */
  #gather({ id, box }: Open): boolean {
    box.see(this.#seen.get(instanceKey(id))?.samples.toArray() ?? []);
    return box.learn(this.#options.recordOf(id));
  }

  #follow(event: EventRecord): void {
    for (const [key, open] of this.#open) {
      if (open.box.facts.service !== event.service || !open.box.follow(event)) continue;
      this.#gather(open);
      this.#save(key, open);
    }
  }

  #seenOf(key: string): Seen {
    let seen = this.#seen.get(key);
    if (seen === undefined) {
      seen = { samples: new RingBuffer(SAMPLES_KEPT), lastAtMs: 0 };
      this.#seen.set(key, seen);
    }
    return seen;
  }

  /** One write of a box at a time; what comes meanwhile is in the next one. The last one closes it. */
  #save(key: string, open: Open): void {
    open.again = true;
    open.saving ??= this.#saveAll(key, open).catch((thrown: unknown) => {
      this.#open.delete(key);
      this.#failed(thrown);
    });
  }

  async #saveAll(key: string, open: Open): Promise<void> {
    const { store, stderr } = this.#options;
    const { box, id } = open;
    let isLast = false;
    while (open.again) {
      open.again = false;
      isLast = box.settled;
      box.hear(await stderr.lastLines(id));
      const pieces = box.takeNew();
      if (!(await store.save(box.summary(), pieces))) box.putBack(pieces);
    }
    open.saving = null;
    if (isLast) this.#open.delete(key);
  }
  /** Whatever is wrong with what is kept of a failure must not stand in the way of what is done about it. */
  #safely(begin: () => string | undefined): string | undefined {
    try {
      return begin();
    } catch (thrown) {
      this.#failed(thrown);
      return undefined;
    }
  }

  #failed(thrown: unknown): void {
    this.#refused += 1;
    this.#options.logger.error('a black box is not kept', { problem: messageOf(thrown) });
  }
}
