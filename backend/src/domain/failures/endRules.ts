/**
 * What PM2 does when a process ends, and what follows from it: not every end is a failure. A *job* is an application
 * with `autorestart: false`: each start is one run. Holdfast neither starts, repeats nor replaces a run; PM2's schedule
 * (`cron_restart`) and operators do. An application that is restarted may still end for good, with one of its
 * `stop_exit_codes`.
 */
import type { EndRules, RunEnd } from '../model.js';

/** PM2's defaults. */
export const RESTARTED: EndRules = { autorestart: true, stopExitCodes: [], schedule: null };

/**
 * What a stopped row means that was listed so, as far as its record tells: null, that it should run. One that has never run
 * and was not to be started by itself lacks nothing.
 */
export function judgeStopped(rules: EndRules, lastExitCode: number | undefined): RunEnd | null {
  if (lastExitCode === undefined) return rules.autostart === false ? 'finished' : null;
  return judgeRun(rules, { exitCode: lastExitCode, signal: null });
}

/**
 * Judges an end that no operator asked for. null: PM2 restarts it, or should; that is a failure of the instance.
 * PM2 itself takes an end by a signal for exit code 0, so a `kill -9` also leaves down what has 0 among its
 * `stop_exit_codes`: that was not intended.
 */
export function judgeRun(
  { autorestart, stopExitCodes }: EndRules,
  { exitCode, signal }: { readonly exitCode: number | null; readonly signal: string | null },
): RunEnd | null {
  if (signal === null && exitCode !== null && stopExitCodes.includes(exitCode)) return 'finished';
  if (autorestart) return null;
  return signal === null && exitCode === 0 ? 'finished' : 'failed';
}
