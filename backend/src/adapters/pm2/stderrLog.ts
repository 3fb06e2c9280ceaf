/** The end of what an instance said on stderr, from the file that PM2 writes. Instances of a service may share one. */
import type { InstanceId } from '../../domain/model.js';
import type { StderrLog } from '../../ports.js';
import { lastLines } from '../files/lastLines.js';

const MOST_BYTES = 32 * 1024;

/** @param fileOf where PM2 writes it; null: that instance is not listed (any more), or it has no such file. */
export function stderrLog(fileOf: (id: InstanceId) => string | null): StderrLog {
  return {
    async lastLines(id) {
      const path = fileOf(id);
      if (path === null) return null;
      // It is one piece of several: without it the rest is still worth keeping.
      const lines = await lastLines(path, MOST_BYTES).catch(() => []);
      return lines.length === 0 ? null : { path, text: lines.join('\n') };
    },
  };
}
