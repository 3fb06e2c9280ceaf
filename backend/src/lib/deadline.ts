/**
 * `work`, or `onTimeout()`'s error when it takes longer than `timeoutMs`. What `work` does after that is ignored,
 * also when it rejects; whoever can cancel it does so in `onTimeout`.
 */
export async function withTimeout<T>(
  work: Promise<T>,
  timeoutMs: number,
  onTimeout: () => Error,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(onTimeout()), timeoutMs);
  });
  try {
    return await Promise.race([work, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * `work`, however long it takes. `tell` is called whenever it has taken another `everyMs`, with how long it has taken by
 * then, ms.
 */
export async function waitTelling<T>(
  work: Promise<T>,
  everyMs: number,
  tell: (waitedMs: number) => void,
): Promise<T> {
  const begunAtMs = performance.now();
  const timer = setInterval(() => tell(performance.now() - begunAtMs), everyMs);
  try {
    return await work;
  } finally {
    clearInterval(timer);
  }
}
