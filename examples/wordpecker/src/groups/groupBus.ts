/** Carries group messages between instances. */
export interface GroupBus {
  /** Messages that other instances publish to `group` reach the listener from now on. Idempotent. */
  join(group: string): void;
  leave(group: string): void;
  /** Resolves to whether the message went out. Never rejects. */
  publish(group: string, data: unknown): Promise<boolean>;
  /** Set once, before the first join. */
  onMessage(listener: (group: string, data: unknown) => void): void;
  /** What did not get through since the start. */
  readonly dropped: number;
  /** Whether it can carry messages now. */
  ready(): boolean;
  close(): Promise<void>;
}
