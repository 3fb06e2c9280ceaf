/**
 * The room for young objects in the heap limit that V8 tells. `--max-old-space-size=192` reads 240 MB with Node 20, 384 MB
 * with Node 24 and 288 MB with Node 26, but the process dies of 192 in each: the limit that matters is that of old objects.
 *
 * Young objects get three semi-spaces, each a power of two. V8 does not tell how large they are. So it is concluded:
 * - from `--max-semi-space-size`, which settles it;
 * - from `--max-old-space-size`: what the limit has beyond it is for young objects;
 * - otherwise from the limit alone. V8 makes a semi-space a fixed part of the room for old objects (which it takes from
 *   the memory of the machine or the container), up to a maximum. Both differ between versions of V8.
 */
const SEMI_SPACES = 3;
const MEGABYTE = 1_048_576;

interface Proportion {
  /** A semi-space is this part of the room for old objects, rounded up to a power of two … */
  readonly oldPerSemiSpace: number;
  /** … and not more than this. */
  readonly maxMb: number;
}

/** Measured with Node 20.20, 22.23, 23.11, 24.21, 25.9, 26.0 and 26.10, each on ten sizes of memory. */
function proportionOf(nodeVersion: string): Proportion {
  const major = Number.parseInt(nodeVersion, 10);
  if (major < 24) return { oldPerSemiSpace: 128, maxMb: 16 };
  if (major < 26) return { oldPerSemiSpace: 32, maxMb: 64 };
  return { oldPerSemiSpace: 64, maxMb: 32 };
}

/** V8 never takes less for old objects of its own accord; where it takes just this, the rest is small. */
const LEAST_OLD_MB = 256;
const MOST_BESIDE_LEAST_OLD_MB = 12;

/**
 * @param limitBytes `heap_size_limit`, as the process began with it.
 * @param flags those of this process: NODE_OPTIONS, and after them its own.
 * @param nodeVersion as in process.versions.node.
 */
export function youngSpaceBytes(limitBytes: number, flags: readonly string[], nodeVersion: string): number {
  const limitMb = limitBytes / MEGABYTE;
  const semiSpaceMb = flagged('max-semi-space-size', flags);
  const oldMb = flagged('max-old-space-size', flags);
  return MEGABYTE * youngMb(limitMb, semiSpaceMb, oldMb, proportionOf(nodeVersion));
}

function youngMb(limitMb: number, semiSpaceMb: number, oldMb: number, proportion: Proportion): number {
  if (semiSpaceMb > 0) return SEMI_SPACES * powerOfTwo(semiSpaceMb);
  if (oldMb > 0 && oldMb < limitMb) return limitMb - oldMb;
  const besideLeastOldMb = limitMb - LEAST_OLD_MB;
  if (besideLeastOldMb > 0 && besideLeastOldMb <= MOST_BESIDE_LEAST_OLD_MB) return besideLeastOldMb;
  let candidateMb = 1;
  while (candidateMb < proportion.maxMb && candidateMb < semiSpaceBeside(limitMb, candidateMb, proportion)) {
    candidateMb *= 2;
  }
  return SEMI_SPACES * candidateMb;
}

/** What V8 would make a semi-space if those that are part of `limitMb` had `candidateMb`. */
function semiSpaceBeside(limitMb: number, candidateMb: number, { oldPerSemiSpace }: Proportion): number {
  return (limitMb - SEMI_SPACES * candidateMb) / oldPerSemiSpace;
}

function powerOfTwo(megabytes: number): number {
  return 2 ** Math.ceil(Math.log2(megabytes));
}

/** What `--name=4` or `--name 4` says; 0 without it. Dashes and underscores are the same to V8, and the last one counts. */
function flagged(name: string, flags: readonly string[]): number {
  let value = 0;
  for (const [index, flag] of flags.entries()) {
    const [given, amount] = flag.split('=', 2);
    if (given?.replaceAll('_', '-') !== `--${name}`) continue;
    value = Number(amount ?? flags[index + 1]) || 0;
  }
  return value;
}

/** What this process was started with. */
export function ownFlags(): string[] {
  return [...(process.env['NODE_OPTIONS'] ?? '').split(/\s+/), ...process.execArgv];
}
