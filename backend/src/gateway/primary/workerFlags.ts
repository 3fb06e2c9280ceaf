/**
 * How the workers' garbage is collected. What they make for a request is dead when it is answered, so a collection of
 * the young costs almost nothing however much there is; it is their number that is felt, by whoever's request waits for
 * one. V8 begins with 1 MB of young space, which 20 000 requests a second fill 22 times a second, and grows it only when
 * much survives. So workers begin with what it would grow to at most.
 *
 * Helper threads of the collector would have to be had from the cores of the other workers: there is a worker for each
 * core. On one core they take it away from the very thread that waits for them, a hundred times a second (decision 26).
 */
import { spawnSync } from 'node:child_process';

export const WORKER_FLAGS: readonly string[] = ['--min-semi-space-size=16', '--single-threaded-gc'];

/** `flags` if that node takes them, otherwise none: V8's flags are no promise, and node refuses to start with an unknown one. */
export function acceptedFlags(flags: readonly string[], node = process.execPath): readonly string[] {
  const { status } = spawnSync(node, [...flags, '--version'], { stdio: 'ignore', timeout: 5_000 });
  return status === 0 ? flags : [];
}
