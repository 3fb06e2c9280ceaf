/** The log files of the commands: beside those of the supervisor, with the same limits, never on the terminal. */
import { join } from 'node:path';
import { plainReason } from '../adapters/files/writable.js';
import { createLogger, type ClosableLogger } from '../adapters/logging/logger.js';
import type { CliContext } from './context.js';

export type CommandLog = ClosableLogger;

/**
 * A log that can't be written is a warning: what the command does is worth more than its record.
 * @param name of the file in the log directory, such as `ha-startup.log`.
 */
export function openLog({ config, terminal }: CliContext, name: string): CommandLog {
  const { logDir, logMaxBytes, logMaxAgeDays, logGroupRead } = config;
  const file = join(logDir, name);
  return createLogger({
    file,
    onFailing: (error) =>
      terminal.warning(
        `${file} cannot be written: ${plainReason(error)}. This run is not logged. Correct its owner or permissions, or choose another folder with HA_LOG_DIR.`,
      ),
    console: false,
    maxBytes: logMaxBytes,
    maxAgeDays: logMaxAgeDays,
    groupReads: logGroupRead,
  });
}
