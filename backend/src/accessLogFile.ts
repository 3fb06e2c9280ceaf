/** The file of the gateway's access log. */
import { join } from 'node:path';
import { logFileMode } from './adapters/files/ownFolders.js';
import { RotatingFile } from './adapters/files/rotatingFile.js';
import type { Config } from './config/load.js';

/** Opens nothing yet: the file appears with the first line. What waits when the process ends is written then. */
export function accessLogFile({ logDir, logMaxBytes, logMaxAgeDays, logGroupRead }: Config): RotatingFile {
  return new RotatingFile({
    path: join(logDir, 'ha-gateway-access.log'),
    maxBytes: logMaxBytes,
    maxFiles: 5,
    maxAgeMs: logMaxAgeDays * 24 * 3_600_000,
    mode: logFileMode(logGroupRead),
  });
}
