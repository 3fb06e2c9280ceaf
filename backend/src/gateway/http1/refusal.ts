/** Why a message is not accepted: what the client is answered before its connection is closed. */
export interface Refusal {
  readonly status: number;
  /** Stable, dotted, for machines: `head.malformed`. */
  readonly code: string;
  /** For people: what is wrong with the message, and what would be right. */
  readonly message: string;
}

export function refusal(status: number, code: string, message: string): Refusal {
  return { status, code, message };
}

/** What a message's head may be at most. */
export interface HeadLimits {
  /** Request line and field lines together, bytes. */
  readonly maxHeadBytes: number;
  readonly maxTargetBytes: number;
  /** Field lines. */
  readonly maxFields: number;
}
