/**
 * Notices that files changed and hands over what is in them.
 *
 *   a directory's event, or the poll ──▶ quiet for `debounceMs`? ──▶ read all ──▶ same text: nothing
 *                                                                               └▶ else: `onChange`, once per text
 *
 * Directories are watched, not files: editors replace a file by renaming another over it. Watching only makes it
 * quick; a slow poll of the contents is what can be relied on (network file systems, a used-up inotify limit, a
 * directory that is itself replaced). A file that vanishes counts as missing only when it stays away for a moment,
 * so that "delete, then write" is not seen as a file that is gone.
 */
import { readFileSync, watch, type FSWatcher } from 'node:fs';
import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

/** Text; null when there is no such file; the reason where it can't be read. */
export type FileContent = string | null | { readonly problem: string };

export interface FileWatcherOptions {
  readonly files: readonly string[];
  /** Called with the content of each file, first with what is there now. */
  readonly onChange: (contents: readonly FileContent[]) => void;
  /** How long the files must be quiet before they are read. Default 200. */
  readonly debounceMs?: number;
  /** How often the files are compared without being told. Default 5000. */
  readonly pollMs?: number;
  /** How long a file must be away to count as missing. Default 2000. */
  readonly missingMs?: number;
}

/** Never throws and keeps no process alive; `close` lets go of everything. */
export class FileWatcher {
  readonly #options: FileWatcherOptions;
  readonly #watchers: FSWatcher[] = [];
  readonly #poll: NodeJS.Timeout;
  #seen: readonly FileContent[] | null = null;
  #debounce: NodeJS.Timeout | null = null;
  #missingSinceMs: number | null = null;

  constructor(options: FileWatcherOptions) {
    this.#options = options;
    for (const directory of new Set(options.files.map((file) => dirname(file))))
      this.#watchDirectory(directory);
    this.#poll = setInterval(() => this.#look(), options.pollMs ?? 5_000);
    this.#poll.unref();
    this.#noticed();
  }

  close(): void {
    clearInterval(this.#poll);
    if (this.#debounce !== null) clearTimeout(this.#debounce);
    for (const watcher of this.#watchers.splice(0)) watcher.close();
  }

  #watchDirectory(directory: string): void {
    try {
      const watcher = watch(directory, { persistent: false }, () => this.#noticed());
      watcher.on('error', () => watcher.close());
      this.#watchers.push(watcher);
    } catch {
      // The poll remains.
    }
  }

  #noticed(): void {
    if (this.#debounce !== null) clearTimeout(this.#debounce);
    this.#debounce = setTimeout(() => this.#look(), this.#options.debounceMs ?? 200);
    this.#debounce.unref();
  }

  #look(): void {
    const contents = this.#options.files.map(contentOf);
    if (isDeepStrictEqual(contents, this.#seen)) {
      this.#missingSinceMs = null;
      return;
    }
    if (this.#isJustMissing(contents)) {
      this.#noticed();
      return;
    }
    this.#missingSinceMs = null;
    this.#seen = contents;
    this.#options.onChange(contents);
  }

  /** Whether a file that was there is away, but not for long. */
  #isJustMissing(contents: readonly FileContent[]): boolean {
    const vanished = contents.some(
      (content, index) => content === null && typeof this.#seen?.[index] === 'string',
    );
    if (!vanished) return false;
    const now = performance.now();
    this.#missingSinceMs ??= now;
    return now - this.#missingSinceMs < (this.#options.missingMs ?? 2_000);
  }
}

function contentOf(file: string): FileContent {
  try {
    return readFileIfAny(file);
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

/** null when there is no such file. @throws when it can't be read. */
export function readFileIfAny(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
