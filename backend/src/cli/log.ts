/** The log files of the commands: beside those of the supervisor, with the same limits, never on the terminal. */
import { join } from 'node:path';
import { createLogger, type ClosableLogger } from '../adapters/logging/logger.js';
import type { Config } from '../config/load.js';

export type CommandLog = ClosableLogger;

/** @param name of the file in the log directory, such as `ha-startup.log`. */
export function openLog({ logDir, logMaxBytes, logMaxAgeDays }: Config, name: string): CommandLog {
  return createLogger({
    file: join(logDir, name),
    console: false,
    maxBytes: logMaxBytes,
    maxAgeDays: logMaxAgeDays,
  });
}
