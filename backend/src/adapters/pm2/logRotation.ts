/**
 * Keeps PM2's log files of the supervised services bounded. PM2 appends to them for ever.
 *
 * A file that is too large or too old becomes `<file>.1`, the former `.1` becomes `.2`, …, the last one goes. The
 * writers have the file open and would go on writing into `.1`; `reloadLogs` makes PM2 (and every cluster worker)
 * open the file anew, once per round and only when something was rotated. Nothing is copied and no line is lost.
 */
import { rename, rm, stat } from 'node:fs/promises';
import { messageOf } from '../../domain/errors.js';
import type { Clock, Logger } from '../../ports.js';

/** Output of one file up to this pace keeps it, and the one that was rotated last, within twice `maxBytes`. */
const SUPPORTED_BYTES_PER_MS = 4 * 1024;
const SHORTEST_INTERVAL_MS = 200;
const LONGEST_INTERVAL_MS = 60_000;
/** A round that takes longer is told: the disk hangs. */
const PATIENCE_MS = 10_000;
/** How often old files are looked for that are to be deleted. */
const AGE_INTERVAL_MS = 60_000;

export interface RotationLimits {
  /** A file larger than this is rotated. */
  readonly maxBytes: number;
  /** A file begun longer ago than this is rotated, unless it is empty; a rotated one written longer ago is deleted. */
  readonly maxAgeMs: number;
  /** How many old files are kept beside the current one. */
  readonly keep: number;
}

/**
 * Rotates those of `files` that are beyond a limit, and deletes old ones that are too old; missing ones are skipped.
 * @param dropsOld whether old files are looked for.
 * @returns the rotated files. Rejects with the file system's error.
 */
export async function rotate(
  files: readonly string[],
  limits: RotationLimits,
  nowMs: number,
  dropsOld = true,
): Promise<readonly string[]> {
  const rotated: string[] = [];
  for (const file of new Set(files)) {
    if (dropsOld) await dropOld(file, limits, nowMs);
    const status = await stat(file).catch(() => null);
    // Never a device such as /dev/null.
    if (status === null || !status.isFile() || status.size === 0) continue;
    const tooOld = status.birthtimeMs > 0 && nowMs - status.birthtimeMs > limits.maxAgeMs;
    if (status.size <= limits.maxBytes && !tooOld) continue;
    await rm(`${file}.${limits.keep}`, { force: true });
    for (let number = limits.keep - 1; number >= 1; number -= 1) {
      await renameIfThere(`${file}.${number}`, `${file}.${number + 1}`);
    }
    if (limits.keep > 0) await rename(file, `${file}.1`);
    else await rm(file, { force: true });
    rotated.push(file);
  }
  return rotated;
}

export interface LogRotationOptions {
  /** The files right now. */
  readonly files: () => readonly string[];
  readonly limits: RotationLimits;
  /** Makes their writers open them anew. */
  readonly reopen: () => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Between two looks: half of what a file takes to grow by its limit at the supported pace. The other half is for PM2,
 * which goes on writing into the rotated file until it has opened the new one.
 */
export function lookIntervalMs(maxBytes: number): number {
  const wanted = maxBytes / SUPPORTED_BYTES_PER_MS / 2;
  return Math.min(LONGEST_INTERVAL_MS, Math.max(SHORTEST_INTERVAL_MS, Math.round(wanted)));
}

/**
 * Looks at the files regularly until the returned function is called. A failed round is logged and tried again. One that
 * hangs is logged, too, and waited for: another one would hang as well, and each keeps a thread of the process.
 */
export function startLogRotation(options: LogRotationOptions): () => void {
  const { clock, logger } = options;
  const intervalMs = lookIntervalMs(options.limits.maxBytes);
  let droppedOldAtMs = Number.NEGATIVE_INFINITY;
  let lastProblem = '';
  let stopped = false;
  let cancel = (): void => undefined;
  const tell = (problem: string): void => {
    if (problem !== lastProblem) logger.warn('rotating the log files of the services failed', { problem });
    lastProblem = problem;
  };
  const round = async (): Promise<void> => {
    cancel = clock.after(PATIENCE_MS, () => tell(`no answer for ${PATIENCE_MS / 1000} s: the disk hangs`));
    try {
      const dropsOld = clock.nowMs() - droppedOldAtMs >= AGE_INTERVAL_MS;
      if (dropsOld) droppedOldAtMs = clock.nowMs();
      const rotated = await rotate(options.files(), options.limits, clock.wallMs(), dropsOld);
      if (rotated.length > 0) await options.reopen();
      lastProblem = '';
    } catch (error) {
      tell(messageOf(error));
    }
    cancel();
    if (!stopped) cancel = clock.after(intervalMs, () => void round());
  };
  cancel = clock.after(intervalMs, () => void round());
  return () => {
    stopped = true;
    cancel();
  };
}

async function dropOld(file: string, { keep, maxAgeMs }: RotationLimits, nowMs: number): Promise<void> {
  for (let number = 1; number <= keep; number += 1) {
    const status = await stat(`${file}.${number}`).catch(() => null);
    // Never a folder that somebody called so.
    const isOld = status?.isFile() === true && nowMs - status.mtimeMs > maxAgeMs;
    if (isOld) await rm(`${file}.${number}`, { force: true });
  }
}

async function renameIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
