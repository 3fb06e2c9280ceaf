/**
 * Notices that config.yml or .env changed and says what follows from it.
 *
 *   a directory's event, or the poll ──▶ quiet for `debounceMs`? ──▶ read both ──▶ same text: nothing
 *                                                                                └▶ valid: `changed` (if any value did)
 *                                                                                └▶ else: `rejected`, once per text
 *
 * Directories are watched, not files: editors replace a file by renaming another over it. Watching only makes it
 * quick; a slow poll of the contents is what can be relied on (network file systems, a used-up inotify limit, a
 * directory that is itself replaced). A file that vanishes counts as missing only when it stays away for a moment,
 * so that "delete, then write" does not pass through the defaults.
 */
import { watch, type FSWatcher } from 'node:fs';
import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { messageOf } from '../domain/errors.js';
import { Emitter } from '../lib/emitter.js';
import { appliesLive, loadConfig, type Config, type LoadOptions } from './load.js';
import type { Problem } from './problems.js';
import { readFileIfAny } from './sources.js';

export interface ConfigEvents {
  /** The new configuration is valid and differs. */
  changed: {
    readonly config: Config;
    /** Dotted keys whose value is another one: `maxInstances`, `services.shop.maxInstances`, `services.shop`. */
    readonly keys: readonly string[];
    /** Those of them that apply only at the next start. */
    readonly needRestart: readonly string[];
    readonly warnings: readonly string[];
  };
  /** It is not valid: the running one stays. */
  rejected: { readonly problems: readonly Problem[] };
}

export interface WatchOptions extends LoadOptions {
  readonly current: Config;
  /** How long the files must be quiet before they are read. Default 200. */
  readonly debounceMs?: number;
  /** How often the files are compared without being told. Default 5000. */
  readonly pollMs?: number;
  /** How long a file must be away to count as missing. Default 2000. */
  readonly missingMs?: number;
  /** Told of listeners that threw. */
  readonly onListenerError?: (error: unknown) => void;
}

/** Never throws and keeps no process alive; `close` lets go of everything. */
export class ConfigWatcher {
  readonly #options: WatchOptions;
  readonly #events: Emitter<ConfigEvents>;
  readonly #watchers: FSWatcher[] = [];
  readonly #poll: NodeJS.Timeout;
  #current: Config;
  #seen: Contents;
  #debounce: NodeJS.Timeout | null = null;
  #missingSinceMs: number | null = null;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#events = new Emitter((error) => options.onListenerError?.(error));
    this.#current = options.current;
    // What `current` was made of is not known any more; a change since then is found by comparing values.
    this.#seen = NOTHING_SEEN;
    const { configFile, dotEnvFile } = options.current;
    for (const directory of new Set([dirname(configFile), dirname(dotEnvFile)]))
      this.#watchDirectory(directory);
    this.#poll = setInterval(() => this.#look(), options.pollMs ?? 5_000);
    this.#poll.unref();
    this.#noticed();
  }

  on<K extends keyof ConfigEvents>(event: K, listener: (payload: ConfigEvents[K]) => void): () => void {
    return this.#events.on(event, listener);
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
    const { configFile, dotEnvFile } = this.#current;
    const contents: Contents = [contentOf(configFile), contentOf(dotEnvFile)];
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
    this.#judge();
  }

  /** Whether a file that was there is away, but not for long. */
  #isJustMissing(contents: Contents): boolean {
    const vanished = contents.some(
      (content, index) => content === null && typeof this.#seen[index] === 'string',
    );
    if (!vanished) return false;
    const now = performance.now();
    this.#missingSinceMs ??= now;
    return now - this.#missingSinceMs < (this.#options.missingMs ?? 2_000);
  }

  #judge(): void {
    const { root, env } = this.#options;
    const result = loadConfig({ root, env });
    if (!result.ok) {
      this.#events.emit('rejected', { problems: result.problems });
      return;
    }
    const keys = changedKeys(this.#current, result.config);
    if (keys.length === 0) return;
    this.#current = result.config;
    const needRestart = keys.filter((key) => !appliesLive(key));
    this.#events.emit('changed', { config: result.config, keys, needRestart, warnings: result.warnings });
  }
}

/** Text; null when missing; the reason where it can't be read. */
type Contents = readonly [config: string | null | Unreadable, dotEnv: string | null | Unreadable];
interface Unreadable {
  readonly problem: string;
}

const NOTHING_SEEN: Contents = [{ problem: 'not read yet' }, { problem: 'not read yet' }];

function contentOf(file: string): string | null | Unreadable {
  try {
    return readFileIfAny(file);
  } catch (error) {
    return { problem: messageOf(error) };
  }
}

function changedKeys(before: Config, after: Config): string[] {
  const keys = new Set([...before.values.keys(), ...after.values.keys()]);
  return [...keys].filter((key) => !isDeepStrictEqual(before.values.get(key), after.values.get(key))).sort();
}
