/** A figure that must be reached, and whether it was. */
export interface Verdict {
  readonly what: string;
  readonly measured: number;
  readonly limit: number;
  readonly unit: string;
  readonly met: boolean;
}

/** Met when `measured` is at most `limit`. */
export function atMost(what: string, measured: number, limit: number, unit: string): Verdict {
  return { what, measured, limit, unit, met: measured <= limit };
}
