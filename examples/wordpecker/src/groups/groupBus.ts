/** Carries group messages between instances. */
export interface GroupBus {
  /**
   * Resolves when messages that other instances publish to `group` reach the listener; while the bus is down at
   * once, they do so when it is back. Idempotent. Never rejects.
   */
  join(group: string): Promise<void>;
  leave(group: string): void;
  /** Resolves to whether the message went out. Never rejects. */
  publish(group: string, data: unknown): Promise<boolean>;
  /** Set once, before the first join. */
  onMessage(listener: (group: string, data: unknown) => void): void;
  /** What did not get through since the start. */
  readonly dropped: number;
  /** Resolves to whether it can carry messages now. Never rejects; ends within two seconds. */
  ping(): Promise<boolean>;
  close(): Promise<void>;
}
