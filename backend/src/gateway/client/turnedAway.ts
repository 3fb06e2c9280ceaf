/**
 * Clients for whom there is no place: each is told so, and its connection ends.
 *
 * Their request is waited for, for a moment: it says whether a person or a program is to be told, and closing a
 * connection with unread bytes resets it, so that the answer would be lost. Only so many are waited for at a time:
 * there is no place for them, after all.
 */
import type { Clock } from '../../ports.js';
import { acceptIn, prefersPage } from '../shared/accept.js';
import { problemAnswer, renderAnswer } from '../shared/answer.js';
import type { ClientSocket } from '../shared/clientSocket.js';
import type { Refusal } from '../http1/refusal.js';

const PATIENCE_MS = 250;
const MOST_WAITING = 256;

export class TurnedAway {
  readonly #clock: Clock;
  #waiting = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(socket: ClientSocket, refusal: Refusal): void {
    socket.on('error', () => socket.destroy());
    if (this.#waiting >= MOST_WAITING) {
      answer(socket, refusal, '', this.#clock.wallMs());
      return;
    }
    this.#waiting += 1;
    const decide = (head: string): void => {
      socket.off('data', onData).off('close', onClose);
      cancel();
      this.#waiting -= 1;
      answer(socket, refusal, head, this.#clock.wallMs());
    };
    const onData = (chunk: Buffer): void => decide(chunk.toString('latin1'));
    const onClose = (): void => decide('');
    const cancel = this.#clock.after(PATIENCE_MS, () => decide(''));
    socket.on('data', onData).on('close', onClose).resume();
  }
}

function answer(socket: ClientSocket, refusal: Refusal, head: string, wallMs: number): void {
  const told = problemAnswer(refusal, '', prefersPage(acceptIn(head)));
  socket.end(renderAnswer(told, 'close', head.startsWith('HEAD '), wallMs), () => socket.destroy());
}
