/**
 * A monotonic clock that all threads of the process share: `performance.now()` begins anew in every thread, `hrtime`
 * does not. Taken at load, so that an application that replaces it (fake timers of a test) does not stop the agent's.
 */
const { hrtime } = process;

/** Milliseconds, monotonic, the same in every thread. About 50 ns. */
export function nowMs(): number {
  const [seconds, nanoseconds] = hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
}
