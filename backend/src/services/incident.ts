/** From the first failure of a service until it is whole again, and has stayed so. */
export interface Incident {
  /** Of the first failure, Clock.nowMs(). */
  readonly sinceMs: number;
  /** The same, Clock.wallMs(): it outlives the supervisor. */
  readonly sinceWallMs: number;
  restoredAtMs: number | null;
  /** It led to a quarantine. */
  isLost: boolean;
}
