/**
 * Notices that config.yml or .env changed (how: lib/fileWatcher.ts) and says what follows from it: `changed` when they are
 * valid and any value is another one, `rejected` when they are not, once per text. After a rejection `changed` also
 * tells that they are valid again, when what they say is what runs: whoever showed the rejection can take it back.
 */
import { isDeepStrictEqual } from 'node:util';

import { knowSecrets } from '../lib/secrets/ofProcess.js';
import { Emitter } from '../lib/emitter.js';
import { FileWatcher, type FileWatcherOptions } from '../lib/fileWatcher.js';
import { GATEWAY_SETTINGS } from './gatewaySchema.js';
import { loadConfig, type Config, type LoadOptions } from './load.js';
import type { Problem } from './problems.js';
import { GLOBAL_SETTINGS, SERVICE_SETTINGS, type Registry } from './schema.js';

export interface ConfigEvents {
  /** The configuration is valid, and differs, or the text before it was rejected. */
  changed: {
    readonly config: Config;
    /** Dotted keys whose value is another one: `maxInstances`, `services.shop.maxInstances`; none after a correction. */
    readonly keys: readonly string[];
    /** Those of them that apply only at the next start. */
    readonly needRestart: readonly string[];
    readonly warnings: readonly string[];
  };
  /** It is not valid: the running one stays. */
  rejected: { readonly problems: readonly Problem[] };
}

export interface WatchOptions
  extends LoadOptions, Pick<FileWatcherOptions, 'debounceMs' | 'pollMs' | 'missingMs'> {
  readonly current: Config;
  /** Told of listeners that threw. */
  readonly onListenerError?: (error: unknown) => void;
}

/** Never throws and keeps no process alive; `close` lets go of everything. */
export class ConfigWatcher {
  readonly #options: WatchOptions;
  readonly #events: Emitter<ConfigEvents>;
  readonly #files: FileWatcher;
  #current: Config;
  /** What the files say now was rejected. */
  #isRejected = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#events = new Emitter((error) => options.onListenerError?.(error));
    this.#current = options.current;
    const { current, root: _root, env: _env, onListenerError: _onListenerError, ...pace } = options;
    // What `current` was made of is not known any more; a change since then is found by comparing values.
    this.#files = new FileWatcher({
      ...pace,
      files: [current.configFile, current.dotEnvFile],
      onChange: () => this.#judge(),
    });
  }

  on<K extends keyof ConfigEvents>(event: K, listener: (payload: ConfigEvents[K]) => void): () => void {
    return this.#events.on(event, listener);
  }

  close(): void {
    this.#files.close();
  }

  #judge(): void {
    const { root, env } = this.#options;
    const result = loadConfig({ root, env });
    if (!result.ok) {
      this.#isRejected = true;
      this.#events.emit('rejected', { problems: result.problems });
      return;
    }
    knowSecrets(result.config.secrets);
    const keys = changedKeys(this.#current, result.config);
    if (keys.length === 0 && !this.#isRejected) return;
    this.#isRejected = false;
    this.#current = result.config;
    const needRestart = keys.filter((key) => !appliesLive(key));
    this.#events.emit('changed', { config: result.config, keys, needRestart, warnings: result.warnings });
  }
}

function changedKeys(before: Config, after: Config): string[] {
  const keys = new Set([...before.values.keys(), ...after.values.keys()]);
  return [...keys].filter((key) => !isDeepStrictEqual(before.values.get(key), after.values.get(key))).sort();
}

/** Whether a change of the value at this dotted key applies without a restart of the supervisor. */
export function appliesLive(dottedKey: string): boolean {
  const topLevel: Registry = { ...GLOBAL_SETTINGS, ...GATEWAY_SETTINGS, ...SERVICE_SETTINGS };
  return dottedKey.startsWith('services.') || topLevel[dottedKey]?.live === true;
}
