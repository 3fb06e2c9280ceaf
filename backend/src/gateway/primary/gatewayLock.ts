/**
 * One gateway per data directory. A successor may take over from a predecessor that lives: it asks it by a signal to
 * let go of port and lock, and gets the lock as soon as it does.
 */
import { acquirePidLock, lockHolders } from '../../lib/pidLock.js';
import { signalSameProcess } from '../../lib/processIdentity.js';

/** "Let go of the port: I take over." */
export const HANDOVER_SIGNAL = 'SIGUSR2';

export class GatewayLock {
  readonly #folder: string;
  #release: (() => void) | null = null;
  #hasAsked = false;

  /** @param folder created when it is missing. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  get isHeld(): boolean {
    return this.#release !== null;
  }

  /** Whether it is ours now. Throws when the folder cannot be written. */
  async acquire(waitMs: number): Promise<boolean> {
    this.#release ??= await acquirePidLock(this.#folder, { waitMs });
    return this.isHeld;
  }

  /** Asks whoever holds it to let go; once. */
  askHolder(): void {
    if (this.isHeld || this.#hasAsked) return;
    this.#hasAsked = true;
    for (const holder of lockHolders(this.#folder)) {
      if (holder.pid !== process.pid) signalSameProcess(holder, HANDOVER_SIGNAL);
    }
  }

  /** For people: `pid 4711`. */
  holders(): string {
    const pids = lockHolders(this.#folder).map(({ pid }) => pid);
    return pids.length === 0 ? 'unknown' : `pid ${pids.join(', ')}`;
  }

  release(): void {
    this.#release?.();
    this.#release = null;
  }
}
