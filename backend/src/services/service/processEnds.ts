/**
 * How the processes of one service ended, by PM2's rows that have none any more: an operator stopped it, PM2 leaves it
 * down as it was told (the end of a run), or it should run and does not, also because Holdfast halted it. It outlives the
 * supervisor, and a reboot after which PM2 brings back a saved list: its numbers are new then, and places are found again
 * by their port.
 */
import { judgeStopped, RESTARTED } from '../../domain/failures/endRules.js';
import type { RunEnd } from '../../domain/model.js';
import { instanceKey, isAlive } from '../../domain/model.js';
import type { InstanceId, ManagedProcess } from '../../domain/model.js';
import type { Clock } from '../../ports.js';

/** How long PM2 may take to restart what exited, before its row counts as abandoned. */
const RESTART_GRACE_MS = 1_500;

/** `asked`: by an operator or by Holdfast. `failure`: it should run on. */
export type ProcessEnd = 'asked' | 'failure' | RunEnd;

/** An end that was no operator's doing. */
interface Unasked {
  /** null: the service listens on none. */
  readonly port: number | null;
  readonly end: Exclude<ProcessEnd, 'asked'>;
}

export interface ProcessEndsSnapshot {
  readonly known: { readonly key: string; readonly end: ProcessEnd }[];
  /** `pmId` is null under a former daemon. */
  readonly unasked: (Unasked & { readonly pmId: number | null })[];
}

export const NO_ENDS: ProcessEndsSnapshot = { known: [], unasked: [] };

export interface ProcessEndsOptions {
  readonly clock: Clock;
  /** Whether Holdfast stopped it, because its budget is spent. */
  readonly isQuarantined: (pmId: number) => boolean;
}

export class ProcessEnds {
  readonly #options: ProcessEndsOptions;
  /** Since when (Clock.nowMs) a row has no process. */
  readonly #lifelessSinceMs = new Map<string, number>();
  /** Whether anything of the service ran in the last list. */
  #ranAny = false;
  /** By number: those whose last end was not an operator's doing. */
  readonly #unasked = new Map<number, Unasked>();
  /** … under a former daemon, as far as they have not been found again. */
  #former: readonly Unasked[] = [];
  /** Ports of all that were listed last, by number. */
  #ports: ReadonlyMap<number, number | null> = new Map();
  /** By key. */
  readonly #ends = new Map<string, ProcessEnd>();

  constructor(options: ProcessEndsOptions) {
    this.#options = options;
  }

  /**
   * Takes notice of a list; forgets what is not in it.
   * @param isOurs whether Holdfast has started that one.
   * @returns those that run again though they had ended under a former daemon: its list was saved before.
   */
  see(
    processes: readonly ManagedProcess[],
    isOurs: (process: ManagedProcess) => boolean,
  ): readonly ManagedProcess[] {
    const { clock, isQuarantined } = this.#options;
    const keys = new Set(processes.map(instanceKey));
    // What an operator had stopped starts one after the other: nothing of it was abandoned before.
    const runsAny = processes.some(isAlive);
    if (runsAny && !this.#ranAny) this.#lifelessSinceMs.clear();
    this.#ranAny = runsAny;
    const lifeless = new Set(processes.filter((process) => !isAlive(process)).map(instanceKey));
    for (const key of this.#lifelessSinceMs.keys()) if (!lifeless.has(key)) this.#lifelessSinceMs.delete(key);
    for (const key of lifeless) {
      if (!this.#lifelessSinceMs.has(key)) this.#lifelessSinceMs.set(key, clock.nowMs());
    }
    for (const key of this.#ends.keys()) if (!keys.has(key)) this.#ends.delete(key);
    const fresh = processes.filter((process) => !this.#ports.has(process.pmId) && !isOurs(process));
    this.#ports = new Map(processes.map(({ pmId, port }) => [pmId, port]));
    for (const pmId of this.#unasked.keys()) if (!this.#ports.has(pmId)) this.#unasked.delete(pmId);
    // Halting it is asked for, too, but by us: once its quarantine has ended it is to be replaced.
    for (const { pmId, port } of processes) {
      if (isQuarantined(pmId)) this.#unasked.set(pmId, { port, end: 'failure' });
    }
    return this.#findAgain(fresh);
  }

  note(id: InstanceId, end: ProcessEnd): void {
    this.#ends.set(instanceKey(id), end);
    if (end === 'asked') this.#unasked.delete(id.pmId);
    else this.#unasked.set(id.pmId, { port: this.#ports.get(id.pmId) ?? null, end });
  }

  /** Whether that very process has ended, whatever a list says that was asked for before. */
  hasEnded(id: InstanceId): boolean {
    return this.#ends.has(instanceKey(id));
  }

  hasEndedUnasked(pmId: number): boolean {
    return this.#unasked.has(pmId);
  }

  /** PM2's numbers mean other places from now on. */
  daemonReplaced(): void {
    this.#former = [...this.#former, ...this.#unasked.values()];
    this.#unasked.clear();
    this.#ports = new Map();
  }

  /** PM2 shows what it is about to restart as stopped for a moment. */
  isLifelessForGood(process: ManagedProcess): boolean {
    const nowMs = this.#options.clock.nowMs();
    return nowMs - (this.#lifelessSinceMs.get(instanceKey(process)) ?? nowMs) >= RESTART_GRACE_MS;
  }

  /**
   * How it ended, where PM2 leaves it down as it was told: it is to stay so. null: it runs, or should.
   * What ended while no supervisor was there is judged by its exit code.
   */
  runEndOf(process: ManagedProcess): RunEnd | null {
    const { status, lastExitCode, endRules = RESTARTED, pmId } = process;
    if (status !== 'stopped' || this.#options.isQuarantined(pmId)) return null;
    const known = this.#ends.get(instanceKey(process));
    if (known !== undefined) return known === 'asked' || known === 'failure' ? null : known;
    return judgeStopped(endRules, lastExitCode);
  }

  snapshot(): ProcessEndsSnapshot {
    const now = [...this.#unasked].map(([pmId, { port, end }]) => ({ pmId, port, end }));
    const former = this.#former.map(({ port, end }) => ({ pmId: null, port, end }));
    return {
      known: [...this.#ends].map(([key, end]) => ({ key, end })),
      unasked: [...now, ...former],
    };
  }

  restore({ known, unasked }: ProcessEndsSnapshot): void {
    for (const { key, end } of known) this.#ends.set(key, end);
    for (const { pmId, port, end } of unasked) if (pmId !== null) this.#unasked.set(pmId, { port, end });
    this.#former = unasked.flatMap(({ pmId, port, end }) => (pmId === null ? [{ port, end }] : []));
  }

  #findAgain(fresh: readonly ManagedProcess[]): readonly ManagedProcess[] {
    const running: ManagedProcess[] = [];
    // Where ports do not tell them apart, what is stopped had ended rather than what runs.
    for (const process of fresh.toSorted((a, b) => Number(isAlive(a)) - Number(isAlive(b)))) {
      const place = this.#former.findIndex(({ port }) => port === process.port);
      const former = this.#former[place];
      if (former === undefined) continue;
      this.#former = this.#former.toSpliced(place, 1);
      if (isAlive(process)) running.push(process);
      else this.note(process, former.end);
    }
    return running;
  }
}
