/** What a client connection is busy with: a request that is forwarded, an own page, an upgraded connection. */
export interface Activity {
  /** Whether the bytes that come next belong to it. */
  readonly wantsBytes: boolean;
  /** Takes what of chunk[from, …) belongs to it. `chunk` is valid only during the call. @returns the end of that. */
  readBytes(chunk: Buffer, from: number): number;
  /** The client can take more bytes again. */
  onClientDrain(): void;
  /** The client will send nothing more. */
  onClientEnd(): void;
  onClientGone(): void;
  /** The deadline that it set on the client connection has passed. */
  onTimeout(): void;
}
