/**
 * What must survive the supervisor: whether it manages, what is wanted of each service, operations under way, budgets,
 * quarantines, the scaler's memory. Small, written as a whole and atomically by the store. Saves are coalesced: the
 * one that is waiting carries the newest state. A disk that refuses is reported once; the state lives on in memory.
 */
import { z } from 'zod';
import { listed, salvage } from '../../lib/salvage.js';
import { messageOf } from '../../domain/errors.js';
import type { Clock, StateStore } from '../../ports.js';
import type { EventLog } from '../events/eventLog.js';
import { NOTHING_LEAVES } from '../service/leaving.js';
import { NO_ENDS } from '../service/processEnds.js';
import { NOTHING_KNOWN } from '../service/provenance.js';
import { failoverSnapshotSchema } from '../budgets/failoverSnapshot.js';
import {
  asWhole,
  savedCount,
  savedDuration,
  savedNumber,
  savedPid,
  savedTime,
} from '../../lib/savedKinds.js';
import type { SupervisedService } from '../service/supervisedService.js';

const maybe = <S extends z.ZodType>(schema: S) => schema.nullable().default(null);

const UNASKED = ['failure', 'finished', 'failed'] as const;

const savedPort = z.int().min(1).max(65_535);

const instancesSchema = z
  .array(z.object({ pmId: savedNumber, pid: maybe(savedPid), port: maybe(savedPort) }))
  .default([]);

/** An operation whose failure can't be read has failed all the same. */
const UNREADABLE_FAILURE = {
  code: 'operation.failed',
  message: 'It failed; why is not known any more, because the state file was damaged.',
};

const operationSchema = z.object({
  id: z.string().default('unknown'),
  kind: z.enum(['scale-up', 'scale-down', 'failover', 'deploy']),
  reason: z.string().default(''),
  /** null: when it is read. */
  sinceMs: maybe(savedTime),
  /** null: what is wanted. */
  from: maybe(savedCount),
  to: maybe(savedCount),
  started: instancesSchema,
  stopped: instancesSchema,
  failure: z
    .object({
      code: z.string().default(UNREADABLE_FAILURE.code),
      message: z.string().default(UNREADABLE_FAILURE.message),
    })
    .nullable()
    .default(UNREADABLE_FAILURE),
  stepsLeft: maybe(savedCount),
  idleMs: savedDuration.default(0),
});

const whyItLeaves = z.string().default('why is not known any more');
const leavingList = z.array(z.object({ key: z.string(), why: whyItLeaves })).default([]);

/** Each field by itself: one that is not usable, or that an earlier version did not write, has its default. */
const serviceSchema = z.object({
  /** null: what runs, at least what is defined. */
  desired: maybe(savedCount),
  found: savedCount.default(0),
  released: z.boolean().default(false),
  runningWhenOff: maybe(asWhole(z.array(savedNumber), 'a list of numbers')),
  provenance: z
    .object({
      proven: z.array(savedNumber).default([]),
      unverified: z.array(savedNumber).default([]),
      ready: z.array(z.string()).default([]),
      charged: z.array(z.string()).default([]),
    })
    .default(() => ({ ...NOTHING_KNOWN })),
  ends: z
    .object({
      known: z.array(z.object({ key: z.string(), end: z.enum(['asked', ...UNASKED]) })).default([]),
      unasked: z
        .array(
          z.object({
            pmId: maybe(savedNumber),
            port: maybe(savedPort),
            end: z.enum(UNASKED).default('failure'),
          }),
        )
        .default([]),
    })
    .default(() => ({ ...NO_ENDS })),
  leaving: z
    .object({
      draining: leavingList,
      recycling: leavingList,
      places: z.array(z.object({ pmId: savedNumber, why: whyItLeaves })).default([]),
    })
    .default(() => ({ ...NOTHING_LEAVES })),
  rollout: maybe(
    z.object({
      kind: z.enum(['failover', 'deploy']),
      outdated: asWhole(z.array(z.string()), 'a list of keys'),
      canaryVerified: z.boolean().default(false),
    }),
  ),
  unproven: maybe(
    z.object({
      since: z.iso.datetime().default(new Date(0).toISOString()),
      problem: z.string().default('why is not known any more'),
    }),
  ),
  operation: maybe(operationSchema),
  incident: maybe(z.object({ sinceWallMs: savedTime, isLost: z.boolean().default(false) })),
  begun: maybe(
    z.object({
      kind: z.enum(['start', 'trial']),
      replaces: maybe(savedNumber),
      resumes: maybe(savedNumber),
      before: asWhole(z.array(savedNumber), 'a list of numbers'),
    }),
  ),
});

const moveTime = maybe(savedTime);
const scalingSchema = z.object({
  lastMove: maybe(
    z.object({
      atMs: savedTime,
      direction: z.enum(['up', 'down']),
      by: z.enum(['autoscaler', 'operator']).default('autoscaler'),
    }),
  ),
  lastUpAtMs: moveTime,
  lastAutomaticDownAtMs: moveTime,
  lastReversalAtMs: moveTime,
  reversals: savedCount.default(0),
  memoryBlockedSinceMs: moveTime,
});

const tallyTime = savedDuration.default(0);
const tallyCount = z.int().min(0).default(0);
const availabilitySchema = z.object({
  observedMs: tallyTime,
  servingMs: tallyTime,
  failures: tallyCount,
  recoveries: tallyCount,
  recoveryMs: tallyTime,
  lost: tallyCount,
  scalings: tallyCount,
  scalingMs: tallyTime,
});

const VERSION = 1;

const stateSchema = z.object({
  version: z.literal(VERSION).default(VERSION),
  running: z.boolean().default(true),
  /** PM2's daemon when this was written: another one numbers its processes anew. */
  daemonPid: maybe(savedPid),
  services: z.record(z.string(), serviceSchema).default({}),
  failover: failoverSnapshotSchema.default({}),
  scaling: maybe(z.object({ services: z.record(z.string(), scalingSchema).default({}) })),
  availability: maybe(z.record(z.string(), availabilitySchema)),
});

export type PersistedState = z.infer<typeof stateSchema>;

/** The part of one service. */
export function capturedService({
  desired,
  found,
  rollout,
  operation,
  letGo,
  provenance,
  runningWhenOff,
  unproven,
  leaving,
  ends,
  begun,
  incident,
}: Pick<
  SupervisedService,
  | 'desired'
  | 'found'
  | 'rollout'
  | 'operation'
  | 'letGo'
  | 'provenance'
  | 'runningWhenOff'
  | 'unproven'
  | 'leaving'
  | 'ends'
  | 'begun'
  | 'incident'
>): PersistedState['services'][string] {
  return {
    desired,
    found,
    unproven,
    released: letGo === 'released',
    runningWhenOff: runningWhenOff === null ? null : [...runningWhenOff],
    provenance: provenance.snapshot(),
    leaving: leaving.snapshot(),
    ends: ends.snapshot(),
    incident: incident === null ? null : { sinceWallMs: incident.sinceWallMs, isLost: incident.isLost },
    begun: begun === null ? null : { ...begun, before: [...begun.before] },
    rollout: rollout === null ? null : { ...rollout, outdated: [...rollout.outdated] },
    operation:
      operation === null
        ? null
        : { ...operation, started: [...operation.started], stopped: [...operation.stopped] },
  };
}

export interface DesiredStateOptions {
  readonly clock: Clock;
  readonly store: StateStore;
  readonly events: EventLog;
  /** The state as it is now. */
  readonly capture: () => PersistedState;
}

/** How long a caller waits for a disk that does not answer. */
const PATIENCE_MS = 10_000;

export class DesiredState {
  readonly #options: DesiredStateOptions;
  #saving: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  #refused = false;
  #closed = false;

  constructor(options: DesiredStateOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the state as of this call, or a newer one, is on disk or was refused by it, and at the latest after
   * PATIENCE_MS: what is remembered lives in memory then. Never rejects.
   */
  save(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(PATIENCE_MS, () => {
        this.#tellRefused(`the disk has not answered for ${PATIENCE_MS / 1000} s`);
        resolve();
      });
      void this.#saved().then(() => {
        cancel();
        resolve();
      });
    });
  }

  async #saved(): Promise<void> {
    // The next one is asked for first: between the end of a save and the begin of the next, both are there.
    if (this.#next !== null) return this.#next;
    if (this.#saving === null) return this.#write();
    this.#next = this.#saving.then(() => {
      this.#next = null;
      return this.#write();
    });
    return this.#next;
  }

  /** Saves once more; after that nothing is written, because a successor may already own the file. */
  async close(): Promise<void> {
    const last = this.save();
    this.#closed = true;
    await last;
  }

  async #write(): Promise<void> {
    const { store, capture } = this.#options;
    this.#saving = store
      .save(capture())
      .then(() => {
        this.#refused = false;
      })
      .catch((thrown: unknown) => this.#tellRefused(messageOf(thrown)))
      .finally(() => {
        this.#saving = null;
      });
    return this.#saving;
  }

  /** Once, until it works again. */
  #tellRefused(problem: string): void {
    if (!this.#refused) this.#options.events.emit('state.unwritable', { problem });
    this.#refused = true;
  }
}

/**
 * Reads the state back, field by field: what can't be used has its default and is named, everything else is as it was. Of a
 * file in which anything was wrong a copy stays, for a person. Rejects as the store's `load` does: what would begin without
 * its state would undo what was decided before.
 */
export async function loadState(
  store: StateStore,
): Promise<{ state: PersistedState | null; damaged: { movedTo: string; problem: string } | null }> {
  const { state, damaged = null } = await store.load();
  if (state === null || state === undefined) return { state: null, damaged };
  const other = otherVersion(state);
  if (other !== null) {
    const problem = `not a state of this version: it has version ${other}; this Holdfast reads version ${VERSION}`;
    return { state: null, damaged: { movedTo: await store.setAside(), problem } };
  }
  const { value, problems } = salvage(stateSchema, state);
  if (value === null) {
    const problem = `not a state of this version: ${problems.join('; ')}`;
    return { state: null, damaged: { movedTo: await store.setAside(), problem } };
  }
  if (problems.length === 0) return { state: value, damaged };
  const problem = `what is not usable has its default, everything else was kept: ${listed(problems)}`;
  return { state: value, damaged: { movedTo: await store.keepCopy(), problem } };
}

/** A greater number is none of ours: it is damage. */
const MOST_VERSIONS = 1000;

function otherVersion(state: unknown): number | null {
  const version = typeof state === 'object' && state !== null && 'version' in state ? state.version : null;
  const isOther = typeof version === 'number' && version > VERSION && version < MOST_VERSIONS;
  return isOther && Number.isInteger(version) ? version : null;
}
