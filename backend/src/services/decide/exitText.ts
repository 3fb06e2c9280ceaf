/** How a process ended, in words. */
import type { RunEnd } from '../../domain/model.js';
import type { ExitVerdict } from '../../domain/failures/failover.js';
import type { ProcessExit } from '../../ports.js';

export function describeExit({ signal }: ProcessExit, run: RunEnd | null): string {
  if (run === 'finished') return 'its run is finished';
  return signal === null ? 'it exited' : `it exited (${signal})`;
}

export function describeEnd(
  { exitCode, signal }: ProcessExit,
  verdict: Extract<ExitVerdict, { charged: true }>,
  ranMs: number,
): string {
  const how = signal ?? `exit code ${exitCode ?? 'unknown'}`;
  const left = `left after ${seconds(ranMs)} with ${how}`;
  if (verdict.cause !== 'out-of-memory') return left;
  return `out of memory: the JavaScript heap reached its limit of ${Math.round(verdict.limitBytes / 1024 / 1024)} MB (${left})`;
}

function seconds(durationMs: number): string {
  return `${(Math.max(0, durationMs) / 1000).toFixed(1)} s`;
}
