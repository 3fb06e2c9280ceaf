/** What a request needs of the connection of its client, whatever is done with it. */
import type { OwnAnswer } from './answer.js';
import type { ClientSocket } from './clientSocket.js';
import type { Peer } from './forwarded.js';
import type { RequestHead } from '../http1/requestHead.js';

export interface Client {
  readonly socket: ClientSocket;
  readonly peer: Peer;
  /** When the activity on it is told that its time is over: monotonic, ms; Infinity: never. The activity moves it. */
  deadlineMs: number;
  /** Gives one of the gateway's own answers and finishes the request. */
  answer(answer: OwnAnswer, head: RequestHead, bodyDone: boolean): void;
}
