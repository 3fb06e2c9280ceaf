/** The end of what an instance wrote in its present life, from the files that PM2 keeps. Instances of a service may share them. */
import type { LogTail } from '../../domain/diagnosis/facts.js';
import type { InstanceId } from '../../domain/model.js';
import { scrubber } from '../../lib/secrets/ofProcess.js';
import { lastLines } from '../files/lastLines.js';

const MOST_BYTES = 16 * 1024;
const MOST_LINES = 40;
const LONGEST_LINE = 300;
/** A clock and a file system's times can differ by so much. */
const SLACK_MS = 1_000;

export interface LogFiles {
  readonly errorLogOf: (id: InstanceId) => string | null;
  readonly outputLogOf: (id: InstanceId) => string | null;
}

/** stderr, or stdout where nothing came there since its start; null when both are silent. Never rejects. */
export async function applicationLog(files: LogFiles, id: InstanceId): Promise<LogTail | null> {
  for (const path of [files.errorLogOf(id), files.outputLogOf(id)]) {
    const tail = path === null ? null : await tailSince(path, id.startedAtMs - SLACK_MS).catch(() => null);
    if (tail !== null) return tail;
  }
  return null;
}

async function tailSince(path: string, sinceWallMs: number): Promise<LogTail | null> {
  const lines = await lastLines(path, MOST_BYTES, sinceWallMs);
  if (lines.length === 0) return null;
  // All of them: a secret may begin in a line before those that are shown.
  const shown = scrubber.lines(lines).slice(-MOST_LINES);
  return {
    path,
    lines: shown.map((line) => (line.length <= LONGEST_LINE ? line : `${line.slice(0, LONGEST_LINE - 1)}…`)),
  };
}
