/**
 * How many frames a client may send: a bucket of `burst` frames that fills again by `perSecond`. A client that has emptied
 * it is told, and cut off.
 */
import type { EnvReader } from '../lib/env.js';

export interface FrameRate {
  readonly perSecond: number;
  readonly burst: number;
}

const MOST = 1_000_000;

/** WSSendQPS and WSSendBurst; each alone is the other one's default; null: no limit. Puts problems into the reader's. */
export function readFrameRate(reader: EnvReader): FrameRate | null {
  const perSecond = reader.optionalInteger('WSSendQPS', 0, MOST);
  const burst = reader.optionalInteger('WSSendBurst', 0, MOST);
  const rate = perSecond ?? burst ?? 0;
  // 0 means "no limit" to those who set it, as an unset value does.
  return rate === 0 ? null : { perSecond: rate, burst: burst || rate };
}

export class FrameBucket {
  readonly #rate: FrameRate;
  #left: number;
  #atMs: number;

  /** @param nowMs of a clock that only goes forward. */
  constructor(rate: FrameRate, nowMs: number) {
    this.#rate = rate;
    this.#left = rate.burst;
    this.#atMs = nowMs;
  }

  /** Takes one. False when there is none. */
  take(nowMs: number): boolean {
    const { perSecond, burst } = this.#rate;
    this.#left = Math.min(burst, this.#left + ((nowMs - this.#atMs) / 1000) * perSecond);
    this.#atMs = nowMs;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
