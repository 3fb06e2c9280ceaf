/**
 * What must survive the supervisor: whether it manages, what is wanted of each service, operations under way, budgets,
 * quarantines, the scaler's memory. Small, written as a whole and atomically by the store. Saves are coalesced: the
 * one that is waiting carries the newest state. A disk that refuses is reported once; the state lives on in memory.
 */
import { z } from 'zod';
import { messageOf } from '../domain/errors.js';
import type { StateStore } from '../ports.js';
import type { EventLog } from './eventLog.js';
import { NOTHING_KNOWN } from './provenance.js';
import { failoverSnapshotSchema } from './failoverSnapshot.js';
import type { SupervisedService } from './supervisedService.js';

const instanceRefSchema = z.object({
  pmId: z.number(),
  pid: z.number().nullable(),
  port: z.number().nullable(),
});

const serviceSchema = z.object({
  desired: z.number().int().min(0),
  released: z.boolean().default(false),
  runningWhenOff: z.array(z.number()).nullable().default(null),
  provenance: z
    .object({ proven: z.array(z.number()), unverified: z.array(z.number()), ready: z.array(z.string()) })
    .default(() => ({ ...NOTHING_KNOWN })),
  rollout: z
    .object({
      kind: z.enum(['failover', 'deploy']),
      outdated: z.array(z.string()),
      canaryVerified: z.boolean(),
    })
    .nullable(),
  /** Absent in what an earlier version wrote. */
  unproven: z.object({ since: z.string(), problem: z.string() }).nullable().default(null),
  operation: z
    .object({
      id: z.string(),
      kind: z.enum(['scale-up', 'scale-down', 'failover', 'deploy']),
      reason: z.string(),
      sinceMs: z.number(),
      from: z.number().int(),
      to: z.number().int(),
      started: z.array(instanceRefSchema),
      stopped: z.array(instanceRefSchema),
      failure: z.object({ code: z.string(), message: z.string() }).nullable(),
    })
    .nullable(),
});

const stateSchema = z.object({
  version: z.literal(1),
  running: z.boolean(),
  /** PM2's daemon when this was written: another one numbers its processes anew. */
  daemonPid: z.number().nullable(),
  services: z.record(z.string(), serviceSchema),
  failover: failoverSnapshotSchema,
  /** Validated by their owners, who leave out what is damaged. */
  scaling: z.unknown(),
  availability: z.unknown(),
});

export type PersistedState = z.infer<typeof stateSchema>;

/** The part of one service. */
export function capturedService({
  desired,
  rollout,
  operation,
  letGo,
  provenance,
  runningWhenOff,
  unproven,
}: Pick<
  SupervisedService,
  'desired' | 'rollout' | 'operation' | 'letGo' | 'provenance' | 'runningWhenOff' | 'unproven'
>): PersistedState['services'][string] {
  return {
    desired,
    unproven,
    released: letGo === 'released',
    runningWhenOff: runningWhenOff === null ? null : [...runningWhenOff],
    provenance: provenance.snapshot(),
    rollout: rollout === null ? null : { ...rollout, outdated: [...rollout.outdated] },
    operation:
      operation === null
        ? null
        : { ...operation, started: [...operation.started], stopped: [...operation.stopped] },
  };
}

export interface DesiredStateOptions {
  readonly store: StateStore;
  readonly events: EventLog;
  /** The state as it is now. */
  readonly capture: () => PersistedState;
}

export class DesiredState {
  readonly #options: DesiredStateOptions;
  #saving: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  #refused = false;
  #closed = false;

  constructor(options: DesiredStateOptions) {
    this.#options = options;
  }

  /** Resolves when the state as of this call, or a newer one, is on disk or was refused by it. Never rejects. */
  async save(): Promise<void> {
    if (this.#closed) return;
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
    const { store, capture, events } = this.#options;
    this.#saving = store
      .save(capture())
      .then(() => {
        this.#refused = false;
      })
      .catch((thrown: unknown) => {
        if (!this.#refused) events.emit('state.unwritable', { problem: messageOf(thrown) });
        this.#refused = true;
      })
      .finally(() => {
        this.#saving = null;
      });
    return this.#saving;
  }
}

/** Reads the state back; whatever can't be used is reported, never fatal. */
export async function loadState(
  store: StateStore,
): Promise<{ state: PersistedState | null; damaged: { movedTo: string; problem: string } | null }> {
  const { state, damaged } = await store.load();
  if (damaged !== undefined) return { state: null, damaged };
  if (state === null || state === undefined) return { state: null, damaged: null };
  const parsed = stateSchema.safeParse(state);
  if (parsed.success) return { state: parsed.data, damaged: null };
  const [first] = parsed.error.issues;
  const problem = `not a state of this version: ${first?.path.join('.') ?? ''} ${first?.message ?? ''}`;
  return { state: null, damaged: { movedTo: await store.setAside(), problem } };
}
