/** The page of LB_FALLBACK: read at once, and again when the file changes. The last good one stays in force. */
import { messageOf } from './domain/errors.js';
import { FileWatcher, readFileIfAny, type FileContent } from './lib/fileWatcher.js';

/** It is part of every snapshot that workers get, so it must be small. */
const LARGEST_CHARACTERS = 256 * 1024;

export class FallbackPage {
  readonly #onChange: () => void;
  readonly #onProblem: () => void;
  #file: string | null = null;
  #watcher: FileWatcher | null = null;
  #html: string | null = null;
  #problem: string | null = null;

  /**
   * @param onChange the page is another one.
   * @param onProblem what is wrong with it is another thing, or nothing any more.
   */
  constructor(onChange: () => void, onProblem: () => void) {
    this.#onChange = onChange;
    this.#onProblem = onProblem;
  }

  get problem(): string | null {
    return this.#problem;
  }

  /** @param file absolute; null: there is to be none. @returns the page, or null while there is none. */
  read(file: string | null): string | null {
    if (file === this.#file) return this.#html;
    this.#watcher?.close();
    this.#watcher = null;
    this.#file = file;
    this.#html = null;
    this.#problem = null;
    if (file === null) return null;
    this.#take(contentOf(file));
    this.#watcher = new FileWatcher({
      files: [file],
      onChange: ([content]) => this.#changed(content ?? null),
    });
    return this.#html;
  }

  #changed(content: FileContent): void {
    const [html, problem] = [this.#html, this.#problem];
    this.#take(content);
    if (html !== this.#html) this.#onChange();
    if (problem !== this.#problem) this.#onProblem();
  }

  #take(content: FileContent): void {
    const why = problemOf(content);
    if (why === null) this.#html = content as string;
    const instead = this.#html === null ? 'Clients get the plain 503.' : 'The page before stays.';
    this.#problem = why === null ? null : `The page of LB_FALLBACK, ${this.#file ?? ''}, ${why}. ${instead}`;
  }
}

function problemOf(content: FileContent): string | null {
  if (content === null) return 'is not there';
  if (typeof content !== 'string') return `cannot be read: ${content.problem}`;
  return content.length > LARGEST_CHARACTERS ? 'is larger than 256 KiB' : null;
}

function contentOf(file: string): FileContent {
  try {
    return readFileIfAny(file);
  } catch (error) {
    return { problem: messageOf(error) };
  }
}
