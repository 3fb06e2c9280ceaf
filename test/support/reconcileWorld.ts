/**
 * A world as small as domain/reconcile sees it: rows that become fit, fall ill, crash or vanish, and a caller that
 * applies the action it is given. No clock, no PM2, no service: whatever goes wrong here is the rule's own fault.
 */
import fc from 'fast-check';
import type { InstanceId } from '../../backend/src/domain/model.js';
import type { Action, ReconcileInput, RolloutStage } from '../../backend/src/domain/reconcile/action.js';
import type { Slot, SlotState } from '../../backend/src/domain/reconcile/slot.js';

export const NOW_MS = 100_000;
export const GRACE_MS = 1_000;
export const DRAIN_TIMEOUT_MS = 10_000;
const SERVICE = 'shop';

export function idOf(pmId: number, startedAtMs = 1_000 + pmId): InstanceId {
  return { service: SERVICE, pmId, startedAtMs };
}

export const UNFIT: SlotState = { kind: 'unfit', cause: 'unhealthy', detail: 'HTTP 503', wasReady: true };

/** One row per state given; numbered from 0, the later ones younger. */
export function slotsOf(...states: readonly (SlotState['kind'] | SlotState)[]): Slot[] {
  return states.map((state, pmId) => ({
    id: idOf(pmId),
    state: typeof state === 'string' ? plain(state) : state,
    outdated: false,
  }));
}

function plain(kind: SlotState['kind']): SlotState {
  switch (kind) {
    case 'starting':
    case 'unknown':
    case 'fit':
    case 'unverified':
    case 'ended':
      return { kind };
    case 'unfit':
      return UNFIT;
    case 'draining':
      return { kind, sinceMs: NOW_MS - GRACE_MS / 2, why: 'to shrink', drained: null, canReturn: 'no' };
    case 'debris':
      return { kind, detail: 'PM2 says errored' };
    case 'quarantined':
      return { kind, running: false, failOpen: false };
  }
}

export const outdated = (slot: Slot): Slot => ({ ...slot, outdated: true });

export function inputOf(desired: number, slots: readonly Slot[], rest: Partial<ReconcileInput> = {}) {
  const input: ReconcileInput = {
    service: SERVICE,
    desired,
    slots,
    rollout: null,
    shrinking: false,
    holes: slots.filter(({ state }) => state.kind === 'quarantined').length,
    trial: null,
    startNotBeforeMs: 0,
    drainGraceMs: GRACE_MS,
    drainTimeoutMs: DRAIN_TIMEOUT_MS,
    nowMs: NOW_MS,
    ...rest,
  };
  return input;
}

/** How many should run: what is desired less the holes. */
export const targetOf = ({ desired, holes }: ReconcileInput): number => Math.max(0, desired - holes);

export const fitOf = (slots: readonly Slot[]): readonly Slot[] =>
  slots.filter(({ state }) => state.kind === 'fit');

/** Those that run and are not on their way out: what the surge is counted over. */
export const liveOf = (slots: readonly Slot[]): readonly Slot[] =>
  slots.filter(({ state }) => state.kind === 'starting' || state.kind === 'fit' || state.kind === 'unfit');

/** Freezes all the way down: a rule that writes to its input throws. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const part of Object.values(value)) deepFreeze(part);
  return value;
}

// ── arbitrary inputs ──

const states: fc.Arbitrary<SlotState> = fc.oneof(
  { weight: 3, arbitrary: fc.constant<SlotState>({ kind: 'starting' }) },
  { weight: 5, arbitrary: fc.constant<SlotState>({ kind: 'fit' }) },
  { weight: 3, arbitrary: fc.constant(UNFIT) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('draining' as const),
      sinceMs: fc.constantFrom(
        Number.NEGATIVE_INFINITY,
        NOW_MS - DRAIN_TIMEOUT_MS,
        NOW_MS - GRACE_MS,
        NOW_MS - 1,
        NOW_MS,
      ),
      why: fc.constant('to shrink'),
      drained: fc.constantFrom(null, true, false),
      canReturn: fc.constantFrom('yes', 'no', 'unknown'),
    }),
  },
  { weight: 1, arbitrary: fc.constant(plain('debris')) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('quarantined' as const),
      running: fc.boolean(),
      failOpen: fc.boolean(),
    }),
  },
);

const rollouts: fc.Arbitrary<RolloutStage | null> = fc.oneof(
  fc.constant(null),
  fc.constant<RolloutStage>({ kind: 'failover', canaryVerified: true }),
  fc.record({ kind: fc.constant('deploy' as const), canaryVerified: fc.boolean() }),
);

/** Any picture that the services could show the rule, likely or not. */
export const inputs: fc.Arbitrary<ReconcileInput> = fc
  .record({
    desired: fc.integer({ min: 0, max: 6 }),
    rows: fc.array(
      fc.record({ state: states, outdated: fc.boolean(), startedAtMs: fc.integer({ max: 5 }) }),
      {
        maxLength: 9,
      },
    ),
    namelessHoles: fc.nat({ max: 2 }),
    rollout: rollouts,
    trial: fc.boolean(),
    startNotBeforeMs: fc.constantFrom(0, NOW_MS, NOW_MS + 1, NOW_MS + 5_000),
  })
  .map(({ desired, rows, namelessHoles, rollout, trial, startNotBeforeMs }) => {
    const slots = rows.map(({ state, outdated, startedAtMs }, pmId) => ({
      id: idOf(pmId, startedAtMs),
      state,
      outdated,
    }));
    const holes = slots.filter(({ state }) => state.kind === 'quarantined').length + namelessHoles;
    const halted = slots.find(({ state }) => state.kind === 'quarantined');
    const due = trial && holes > 0 ? { target: halted?.id ?? null } : null;
    return inputOf(desired, slots, { rollout, holes, trial: due, startNotBeforeMs });
  });

// ── the world ──

/** What may happen between two actions. `row` picks one of those it applies to. */
export type Happening =
  | { readonly kind: 'ready' | 'ill' | 'heals' | 'crashes' | 'vanishes' | 'debris'; readonly row: number }
  | { readonly kind: 'spent'; readonly row: number; readonly failOpen: boolean }
  | { readonly kind: 'trialDue' }
  | { readonly kind: 'wanted'; readonly desired: number }
  | { readonly kind: 'rollout'; readonly rollout: 'failover' | 'deploy' }
  | { readonly kind: 'rolloutEnds' }
  | { readonly kind: 'backoff' | 'passes'; readonly forMs: number };

const onRow = (kind: Exclude<Happening, { desired: number }>['kind']) =>
  fc.nat({ max: 8 }).map((row) => ({ kind, row }) as Happening);

export const happenings: fc.Arbitrary<Happening> = fc.oneof(
  { weight: 6, arbitrary: onRow('ready') },
  ...(['ill', 'heals', 'crashes', 'vanishes', 'debris'] as const).map(onRow),
  fc.record({ kind: fc.constant('spent' as const), row: fc.nat({ max: 8 }), failOpen: fc.boolean() }),
  fc.constant<Happening>({ kind: 'trialDue' }),
  fc.record({ kind: fc.constant('wanted' as const), desired: fc.integer({ min: 1, max: 5 }) }),
  fc.record({
    kind: fc.constant('rollout' as const),
    rollout: fc.constantFrom('failover' as const, 'deploy' as const),
  }),
  fc.constant<Happening>({ kind: 'rolloutEnds' }),
  fc.record({ kind: fc.constantFrom('backoff' as const, 'passes' as const), forMs: fc.nat({ max: 3_000 }) }),
);

export class ReconcileWorld {
  slots: readonly Slot[];
  desired: number;
  rollout: RolloutStage | null;
  /** Holes whose number is not known any more. */
  namelessHoles: number;
  trialDue: boolean;
  startNotBeforeMs: number;
  nowMs: number;
  #nextPmId: number;

  constructor(input: ReconcileInput) {
    this.slots = input.slots;
    this.desired = input.desired;
    this.rollout = input.rollout;
    this.namelessHoles = input.holes - this.#quarantined().length;
    this.trialDue = input.trial !== null;
    this.startNotBeforeMs = input.startNotBeforeMs;
    this.nowMs = input.nowMs;
    this.#nextPmId = Math.max(-1, ...input.slots.map(({ id }) => id.pmId)) + 1;
  }

  input(): ReconcileInput {
    const holes = this.#quarantined().length + this.namelessHoles;
    const due = this.trialDue && holes > 0;
    return deepFreeze(
      inputOf(this.desired, this.slots, {
        rollout: this.rollout,
        holes,
        trial: due ? { target: this.#quarantined()[0]?.id ?? null } : null,
        startNotBeforeMs: this.startNotBeforeMs,
        nowMs: this.nowMs,
      }),
    );
  }

  /** Carries out the action as services/act/reconciler would; time passes while it holds. */
  apply(action: Action): void {
    switch (action.kind) {
      case 'start':
        return this.#launch();
      case 'trial':
        return this.#startTrial(action.target);
      case 'withdraw': {
        const wasFit = this.#at(action.target).state.kind === 'fit';
        const sinceMs = wasFit ? this.nowMs : Number.NEGATIVE_INFINITY;
        // Where gateways have requests under way, every other time, they finish late.
        const drained = action.target.pmId % 2 === 0 ? null : false;
        const canReturn = wasFit ? 'yes' : 'no';
        return this.#set(action.target, {
          kind: 'draining',
          sinceMs,
          why: action.reason,
          drained,
          canReturn,
        });
      }
      case 'restore':
        return this.#set(action.target, { kind: 'fit' });
      case 'stop':
      case 'discard':
        return this.#remove(action.target);
      case 'halt':
        return this.#set(action.target, { kind: 'quarantined', running: false, failOpen: false });
      case 'hold':
        this.nowMs = Math.max(this.nowMs + 1, action.untilMs ?? 0);
    }
  }

  /** All that start become ready, first probes are answered, and a canary that is fit has proved itself. */
  everybodyStarts(): void {
    this.slots = this.slots.map((slot) => {
      if (slot.state.kind === 'starting') return { ...slot, state: { kind: 'fit' } };
      const isUnknown = slot.state.kind === 'draining' && slot.state.canReturn === 'unknown';
      return isUnknown ? { ...slot, state: { ...slot.state, canReturn: 'yes' } as SlotState } : slot;
    });
    this.verifyCanary();
  }

  verifyCanary(): void {
    if (this.rollout?.kind !== 'deploy') return;
    const proved = this.slots.some(({ state, outdated }) => state.kind === 'fit' && !outdated);
    if (proved) this.rollout = { ...this.rollout, canaryVerified: true };
  }

  happen(happening: Happening): void {
    switch (happening.kind) {
      case 'ready':
        return this.#change(happening.row, 'starting', () => ({ kind: 'fit' }));
      case 'ill':
        return this.#change(happening.row, 'fit', () => UNFIT);
      case 'heals':
        return this.#change(happening.row, 'unfit', () => ({ kind: 'fit' }));
      case 'spent':
        return this.#change(happening.row, 'unfit', () => ({
          kind: 'quarantined',
          running: true,
          failOpen: happening.failOpen,
        }));
      case 'debris':
        return this.#change(happening.row, 'starting', () => plain('debris'));
      case 'crashes': {
        // PM2 starts it again under the same number: another instance, of the new build if there is one.
        const slot = pick(this.slots.filter(isRunning), happening.row);
        if (slot === undefined) return;
        const again: Slot = {
          id: { ...slot.id, startedAtMs: this.nowMs },
          state: { kind: 'starting' },
          outdated: false,
        };
        this.slots = this.slots.map((one) => (one === slot ? again : one));
        return;
      }
      case 'vanishes': {
        const slot = pick(this.slots.filter(isRunning), happening.row);
        this.slots = this.slots.filter((one) => one !== slot);
        return;
      }
      case 'trialDue':
        this.trialDue = true;
        return;
      case 'wanted':
        this.desired = happening.desired;
        return;
      case 'rollout':
        this.rollout = { kind: happening.rollout, canaryVerified: happening.rollout === 'failover' };
        this.slots = this.slots.map((slot) => (isRunning(slot) ? outdated(slot) : slot));
        return;
      case 'rolloutEnds':
        this.rollout = null;
        this.slots = this.slots.map((slot) => ({ ...slot, outdated: false }));
        return;
      case 'backoff':
        this.startNotBeforeMs = this.nowMs + happening.forMs;
        return;
      case 'passes':
        this.nowMs += happening.forMs;
    }
  }

  #quarantined(): readonly Slot[] {
    return this.slots.filter(({ state }) => state.kind === 'quarantined');
  }

  /** Resumes the halted one; where it still runs, or is not known, a new one is on trial in its place. */
  #startTrial(target: InstanceId | null): void {
    this.trialDue = false;
    if (target === null) {
      this.namelessHoles -= 1;
      return this.#launch();
    }
    const { state } = this.#at(target);
    if (state.kind === 'quarantined' && state.running) {
      this.#set(target, UNFIT);
      return this.#launch();
    }
    this.#remove(target);
    const id = { ...target, startedAtMs: this.nowMs };
    this.slots = [...this.slots, { id, state: { kind: 'starting' }, outdated: false }];
  }

  #launch(): void {
    const id = idOf(this.#nextPmId++, this.nowMs);
    this.slots = [...this.slots, { id, state: { kind: 'starting' }, outdated: false }];
  }

  #at(target: InstanceId): Slot {
    const slot = this.slots.find(
      ({ id }) => id.pmId === target.pmId && id.startedAtMs === target.startedAtMs,
    );
    if (slot === undefined) throw new Error(`pm ${target.pmId} is not there`);
    return slot;
  }

  #set(target: InstanceId, state: SlotState): void {
    const slot = this.#at(target);
    this.slots = this.slots.map((one) => (one === slot ? { ...one, state } : one));
  }

  #remove(target: InstanceId): void {
    const slot = this.#at(target);
    this.slots = this.slots.filter((one) => one !== slot);
  }

  #change(row: number, from: SlotState['kind'], to: () => SlotState): void {
    const slot = pick(
      this.slots.filter(({ state }) => state.kind === from),
      row,
    );
    if (slot !== undefined)
      this.slots = this.slots.map((one) => (one === slot ? { ...one, state: to() } : one));
  }
}

function isRunning({ state }: Slot): boolean {
  return state.kind === 'starting' || state.kind === 'fit' || state.kind === 'unfit';
}

function pick<T>(items: readonly T[], index: number): T | undefined {
  return items[index % Math.max(1, items.length)];
}
