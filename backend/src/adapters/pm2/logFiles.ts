/** Where PM2 writes what instances print, from its own records of them. */
import type { InstanceId } from '../../domain/model.js';
import type { ProcessRow } from './processRow.js';

/** All output files of the services, each once. */
export function logFilesOf(rows: readonly ProcessRow[], services: ReadonlySet<string>): readonly string[] {
  const files = rows
    .filter((row) => services.has(row.process.service))
    .flatMap(({ record }) => [record['pm_out_log_path'], record['pm_err_log_path'], record['pm_log_path']]);
  return [...new Set(files.filter((file) => typeof file === 'string'))];
}

interface Paths {
  readonly error: string | null;
  readonly output: string | null;
}

/** Instances that have left PM2's list and are remembered. */
const MOST_KEPT = 1_000;

/** Where instances write. What one has written is read after its end, when PM2 may have dropped it from its list. */
export class LogPaths {
  /** By instance, the one that was listed last at the end. */
  readonly #paths = new Map<string, Paths>();

  /** @param rows all that PM2 lists now. */
  see(rows: readonly ProcessRow[]): void {
    for (const { process, record } of rows) {
      const key = keyOf(process);
      this.#paths.delete(key);
      this.#paths.set(key, {
        error: fileIn(record['pm_err_log_path']),
        output: fileIn(record['pm_out_log_path']),
      });
    }
    const tooMany = Math.max(0, this.#paths.size - rows.length - MOST_KEPT);
    for (const key of [...this.#paths.keys()].slice(0, tooMany)) this.#paths.delete(key);
  }

  /** Where its stderr goes, or went; null when it was never listed, or to no file. */
  errorLogOf(id: InstanceId): string | null {
    return this.#paths.get(keyOf(id))?.error ?? null;
  }

  /** The same of its stdout. */
  outputLogOf(id: InstanceId): string | null {
    return this.#paths.get(keyOf(id))?.output ?? null;
  }
}

const keyOf = ({ service, pmId }: Pick<InstanceId, 'service' | 'pmId'>): string => `${pmId} ${service}`;

const fileIn = (field: unknown): string | null =>
  typeof field === 'string' && field !== '/dev/null' ? field : null;
