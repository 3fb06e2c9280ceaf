export interface WaitOptions {
  /** Give up after this long. Default 10 000 ms. */
  readonly deadlineMs?: number;
  /** Pause between two looks. Default 25 ms. */
  readonly intervalMs?: number;
  /** What is awaited, for the message when it does not come: "two instances online". */
  readonly what: string;
}

/**
 * Waits until `condition` returns something truthy and returns that. A condition that throws counts as "not
 * yet"; its last error is named when the deadline passes.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  { deadlineMs = 10_000, intervalMs = 25, what }: WaitOptions,
): Promise<Exclude<T, false | null | undefined | 0 | ''>> {
  const startedMs = performance.now();
  let lastProblem = '';
  for (;;) {
    try {
      const value = await condition();
      if (value) return value as Exclude<T, false | null | undefined | 0 | ''>;
      lastProblem = '';
    } catch (error) {
      lastProblem = ` (last error: ${error instanceof Error ? error.message : String(error)})`;
    }
    if (performance.now() - startedMs > deadlineMs) {
      throw new Error(`waited ${deadlineMs} ms for ${what}, it did not come${lastProblem}`);
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}
