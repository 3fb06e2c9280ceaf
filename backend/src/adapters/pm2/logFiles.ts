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

/** Where that instance's stderr goes; null when it is not listed, or goes to no file. */
export function errorLogOf(rows: readonly ProcessRow[], id: InstanceId): string | null {
  return fileOf(rows, id, 'pm_err_log_path');
}

/** The same of its stdout. */
export function outputLogOf(rows: readonly ProcessRow[], id: InstanceId): string | null {
  return fileOf(rows, id, 'pm_out_log_path');
}

function fileOf(rows: readonly ProcessRow[], { service, pmId }: InstanceId, field: string): string | null {
  const row = rows.find(({ process }) => process.pmId === pmId && process.service === service);
  const file = row?.record[field];
  return typeof file === 'string' && file !== '/dev/null' ? file : null;
}
