/**
 * The room that V8 adds for young objects to the heap limit it tells. `--max-old-space-size=192` reads 240 MB with Node 20
 * and 384 MB with Node 24, but the process dies of 192 in both: the limit that matters is that of old objects.
 *
 * Young objects have three semi-spaces, each as large as `--max-semi-space-size` says, else 16 MB, and from Node 24 on 64 MB.
 */
const SEMI_SPACES = 3;
const MEGABYTE = 1_048_576;
/** Dashes and underscores are the same to V8, and the last one counts. */
const FLAG = /^--max[-_]semi[-_]space[-_]size(?:=(\d+))?$/;

/**
 * @param nodeVersion as in process.versions.node.
 * @param flags those of this process: NODE_OPTIONS, and after them its own.
 */
export function youngSpaceBytes(nodeVersion: string, flags: readonly string[]): number {
  let semiSpace = Number.parseInt(nodeVersion, 10) >= 24 ? 64 : 16;
  for (const [index, flag] of flags.entries()) {
    const match = FLAG.exec(flag);
    const megabytes = Number(match?.[1] ?? (match === null ? undefined : flags[index + 1]));
    if (megabytes > 0) semiSpace = megabytes;
  }
  return SEMI_SPACES * semiSpace * MEGABYTE;
}

/** What this process was started with. */
export function ownFlags(): string[] {
  return [...(process.env['NODE_OPTIONS'] ?? '').split(/\s+/), ...process.execArgv];
}
