/**
 * Files and folders that the supervisor and the gateway make are for their user alone, whatever the umask is from which
 * they were started: 0600 and 0700 at most. What they start for others (PM2's daemon, and with it every application) keeps
 * the umask that it would have had.
 */

const OTHERS_AND_GROUP = 0o077;

let inherited: number | null = null;

/** From now on, for this process. Idempotent. */
export function makeFilesPrivate(): void {
  inherited ??= process.umask();
  process.umask(inherited | OTHERS_AND_GROUP);
}

/** Runs `start`, which starts a process synchronously, with the umask that this process was started with. */
export function withInheritedUmask<T>(start: () => T): T {
  if (inherited === null) return start();
  const own = process.umask(inherited);
  try {
    return start();
  } finally {
    process.umask(own);
  }
}
