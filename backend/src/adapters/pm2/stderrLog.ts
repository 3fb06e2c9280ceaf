/** The end of what an instance said on stderr, without secrets, from the file that PM2 writes. Instances of a service may share one. */
import type { InstanceId } from '../../domain/model.js';
import { scrubber } from '../../lib/secrets/ofProcess.js';
import type { StderrLog } from '../../ports.js';
import { lastLines } from '../files/lastLines.js';

const MOST_BYTES = 32 * 1024;
/** Before these: a secret may begin there. */
const BYTES_BEFORE = 16 * 1024;

/** @param fileOf where PM2 writes it; null: that instance is not listed (any more), or it has no such file. */
export function stderrLog(fileOf: (id: InstanceId) => string | null): StderrLog {
  return {
    async lastLines(id) {
      const path = fileOf(id);
      if (path === null) return null;
      // It is one piece of several: without it the rest is still worth keeping.
      const lines = await lastLines(path, MOST_BYTES + BYTES_BEFORE).catch(() => []);
      const shown = scrubber.lines(lines);
      const first = lines.length - linesWithin(lines, MOST_BYTES);
      return first === lines.length ? null : { path, text: shown.slice(first).join('\n') };
    },
  };
}

/** How many of the last lines there are in so many bytes. */
function linesWithin(lines: readonly string[], mostBytes: number): number {
  let bytes = 0;
  const tooMany = lines.toReversed().findIndex((line) => (bytes += Buffer.byteLength(line) + 1) > mostBytes);
  return tooMany === -1 ? lines.length : tooMany;
}
