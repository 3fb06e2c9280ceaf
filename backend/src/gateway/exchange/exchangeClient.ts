/** What a request that goes to an upstream needs of the connection of its client. */
import type { Activity } from '../shared/activity.js';
import type { Client } from '../shared/client.js';
import type { Failure } from './failures.js';
import type { RequestHead } from '../http1/requestHead.js';
import type { NotedClient } from '../upstreams/seenSessions.js';

export interface ExchangeClient extends Client, NotedClient {
  /** Its answers say themselves where they end. */
  isDelimited: boolean;
  /** Nothing more is read from it, until `resume`. */
  pause(): void;
  resume(): void;
  /** The request is answered. @param keep whether the connection goes on. */
  finish(keep: boolean): void;
  /** Answers a request in an upstream's place and finishes it. */
  answerFailure(failure: Failure, requestId: string, head: RequestHead, bodyDone: boolean): void;
  /** From now on it is an upgraded connection. */
  become(tunnel: Activity): void;
  /** An upgraded connection is over; what was written to the client still goes out, unless it takes nothing for so long. */
  leaveTunnel(patienceMs: number): void;
  /** Ends it at once, in a way that the client can't take for the end of an answer. */
  cut(): void;
}
