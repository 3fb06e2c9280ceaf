/**
 * Reads server-sent events (WHATWG HTML, "Server-sent events"), as far as the supervisor uses them: `event` and `data`,
 * one line each, comments as heartbeats. Fed with chunks as they come; a line that is too long is an error.
 */

export interface ServerEvent {
  readonly type: string;
  readonly data: string;
}

const MOST_LINE_CHARACTERS = 256 * 1024;

export class EventStreamReader {
  readonly #onEvent: (event: ServerEvent) => void;
  #rest = '';
  #type = '';
  #data = '';

  constructor(onEvent: (event: ServerEvent) => void) {
    this.#onEvent = onEvent;
  }

  /** @throws when a line has no end. */
  push(chunk: string): void {
    const lines = (this.#rest + chunk).split(/\r\n|\n/);
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > MOST_LINE_CHARACTERS)
      throw new Error('the event stream has a line without an end');
    for (const line of lines) this.#readLine(line);
  }

  #readLine(line: string): void {
    if (line === '') {
      if (this.#type !== '') this.#onEvent({ type: this.#type, data: this.#data });
      this.#type = '';
      this.#data = '';
    } else if (line.startsWith('event:')) {
      this.#type = line.slice(6).trim();
    } else if (line.startsWith('data:')) {
      this.#data = line.slice(5).trim();
    }
  }
}
