/**
 * Where paths of applications lead, links followed. Looked up beside the event loop, which a disk that hangs would hold up; in
 * between, and while the disk does not answer, the last answer counts.
 */
import { realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DiskHangs, inFolder } from './inFolder.js';

const PATIENCE_MS = 3_000;
const MOST_KEPT = 1_000;

export class RealPaths {
  readonly #known = new Map<string, string>();
  readonly #patienceMs: number;

  /** @param patienceMs how long one disk may take. Default 3 s. */
  constructor(patienceMs = PATIENCE_MS) {
    this.#patienceMs = patienceMs;
  }

  /** Looks where they lead now. Never rejects. */
  async look(paths: Iterable<string>): Promise<void> {
    for (const path of new Set(paths)) {
      const real = await this.#find(path);
      if (real === null) continue;
      this.#known.delete(path);
      this.#known.set(path, real);
      const [oldest] = this.#known.keys();
      if (this.#known.size > MOST_KEPT && oldest !== undefined) this.#known.delete(oldest);
    }
  }

  /** As of the last look; null: it has not been looked at. What leads nowhere is itself. */
  of(path: string): string | null {
    return this.#known.get(path) ?? null;
  }

  async #find(path: string): Promise<string | null> {
    try {
      return await inFolder(dirname(path), this.#patienceMs, () => realpath(path));
    } catch (error) {
      return error instanceof DiskHangs ? null : path;
    }
  }
}
