/** @param holds whether the process stays alive for it. Default true. */
export function pause(durationMs: number, holds = true): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, durationMs);
    if (!holds) timer.unref();
  });
}
