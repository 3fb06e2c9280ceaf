/**
 * Restarts that PM2 makes of a process that was not at fault: a file changed (`watch`), its memory (`max_memory_restart`), its
 * schedule (`cron_restart`), an operator's command. None is charged to the build. Many of them in a row are a loop: the
 * instance answers its probes between two restarts and serves hardly anything.
 */

/** Why, where PM2 says so in its own log. */
export type RestartCause =
  | { readonly by: 'watch'; readonly path: string }
  | { readonly by: 'memory'; readonly memoryBytes: number; readonly limitBytes: number };

export interface Restart {
  readonly pmId: number;
  /** Clock.nowMs. */
  readonly atMs: number;
  /** null: PM2 did not say. */
  readonly cause: RestartCause | null;
}

export interface RestartLoop {
  readonly pmId: number;
  /** Within RESTART_LOOP_MS, as far as they were seen. */
  readonly count: number;
  /** Of the last one. */
  readonly cause: RestartCause | null;
}

export const RESTART_LOOP_MS = 60_000;
/** More than a person asks for. */
const LOOP_RESTARTS = 5;

/** The instance that is restarted over and over, if there is one; of several the worst. */
export function restartLoop(restarts: readonly Restart[], nowMs: number): RestartLoop | null {
  const recent = restarts.filter(({ atMs }) => nowMs - atMs < RESTART_LOOP_MS);
  const loops = [...new Set(recent.map(({ pmId }) => pmId))].map((pmId) => {
    const own = recent.filter((restart) => restart.pmId === pmId);
    return { pmId, count: own.length, cause: own.findLast(({ cause }) => cause !== null)?.cause ?? null };
  });
  const [worst] = loops.sort((a, b) => b.count - a.count);
  return worst === undefined || worst.count < LOOP_RESTARTS ? null : worst;
}

/** "PM2's watch restarts it: x.txt changed". */
export function describeRestart(cause: RestartCause): string {
  if (cause.by === 'watch') return `PM2's watch restarts it: ${cause.path} changed`;
  const { memoryBytes, limitBytes } = cause;
  return `PM2 restarts it: its memory of ${mebibytes(memoryBytes)} exceeds max_memory_restart (${mebibytes(limitBytes)})`;
}

/** What happens, and what to do. */
export function describeLoop({ pmId, count, cause }: RestartLoop, schedule: string | null): string {
  const what = `pm ${pmId} was restarted ${count} times within a minute`;
  if (cause !== null) return `${what}: ${describeRestart(cause)}. ${ADVICE[cause.by]}`;
  if (schedule !== null)
    return `${what} through PM2, by its schedule (cron_restart: ${schedule}) or by an operator.`;
  return `${what} through PM2, and not by Holdfast: by an operator, a script, or PM2's watch.`;
}

const ADVICE: { readonly [By in RestartCause['by']]: string } = {
  watch: 'Name that path in ignore_watch, or set watch: false.',
  memory: 'Raise max_memory_restart, or mend what takes the memory.',
};

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 1024 / 1024)} MB`;
}
