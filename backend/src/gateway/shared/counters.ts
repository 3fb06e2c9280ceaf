/** Counters of a worker: they only grow. */
import type { AnswerClasses } from '../../domain/statistics/gatewayStats.js';

/** Answers by class of their status. */
export class AnswerCounter {
  readonly #classes: [number, number, number, number, number] = [0, 0, 0, 0, 0];

  count(status: number): void {
    const index = Math.min(5, Math.max(1, Math.floor(status / 100))) - 1;
    this.#classes[index] = (this.#classes[index] ?? 0) + 1;
  }

  snapshot(): AnswerClasses {
    const [informational, success, redirection, client, server] = this.#classes;
    return [informational, success, redirection, client, server];
  }
}

/** How often each code was given. Codes are fixed names of the source, so their number is bounded. */
export class CodeCounter {
  readonly #counts = new Map<string, number>();

  count(code: string): void {
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1);
  }

  snapshot(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }
}
