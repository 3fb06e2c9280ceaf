/**
 * What the container around this process allows: CPU quota, memory limit and use, OOM kills, from cgroup v2 or v1.
 *
 * Where the files are: /proc/self/cgroup names our group relative to the hierarchy's root, /proc/self/mountinfo
 * says which part of the hierarchy is mounted where. A container sees its own group mounted as the root, either
 * because of a cgroup namespace (the path reads "/") or because only that subtree is mounted (the path is the
 * host's, and the mount's root is a prefix of it). Groups nest, and every ancestor's limit binds: the tightest
 * counts. Ancestors above the mount cannot be seen.
 *
 * Nothing here throws: on another platform, or with nothing readable, there is simply no limit.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

/** v1 says "no limit" with a number near 2^63, rounded down to a page. */
const UNLIMITED_BYTES = 2 ** 60;

export interface CgroupMemory {
  readonly limitBytes: number;
  /** What can still be used before the limit: the page cache counts as free, it goes when needed. */
  readonly availableBytes: number;
}

export class Cgroup {
  readonly #root: string;
  /** Own group first, then its ancestors up to the mount. */
  readonly #cpu: Hierarchy;
  readonly #cpuTimes: Hierarchy;
  readonly #memory: Hierarchy;

  /** @param root where /proc and /sys are, for tests. Default `/`. */
  constructor(root = '/') {
    this.#root = root;
    const groups = this.#read('proc/self/cgroup') ?? '';
    const mounts = this.#read('proc/self/mountinfo') ?? '';
    this.#cpu = findHierarchy(groups, mounts, 'cpu');
    this.#cpuTimes = findHierarchy(groups, mounts, 'cpuacct');
    this.#memory = findHierarchy(groups, mounts, 'memory');
  }

  /** CPU quota in cores (1.5 = one and a half), the tightest of all groups; null without one. */
  cpuQuotaCores(): number | null {
    return tightest(this.#cpu.folders.map((folder) => this.#quotaOf(folder)));
  }

  /** Cores worth using: of the machine, or of the quota when that is fewer (rounded up). At least 1. */
  availableCores(): number {
    const quota = this.cpuQuotaCores();
    const cores = availableParallelism();
    return quota === null ? cores : Math.max(1, Math.min(cores, Math.ceil(quota)));
  }

  /** The tightest memory limit; null without one. */
  memoryLimitBytes(): number | null {
    return tightest(this.#memory.folders.map((folder) => this.#limitOf(folder)));
  }

  /** The tightest limit, and the least that any group has left; null without a limit. */
  memory(): CgroupMemory | null {
    let limitBytes: number | null = null;
    let availableBytes = Number.POSITIVE_INFINITY;
    for (const folder of this.#memory.folders) {
      const limit = this.#limitOf(folder);
      if (limit === null) continue;
      limitBytes = Math.min(limitBytes ?? limit, limit);
      const used = this.#usedOf(folder);
      if (used !== null) availableBytes = Math.min(availableBytes, Math.max(0, limit - used));
    }
    return limitBytes === null ? null : { limitBytes, availableBytes: Math.min(availableBytes, limitBytes) };
  }

  /** CPU time that the group has used, ms; null where that can't be read. */
  cpuUsedMs(): number | null {
    const folder = this.#cpuTimes.folders[0];
    if (folder === undefined) return null;
    if (this.#cpuTimes.version === 2) {
      const usedMicros = this.#field(join(folder, 'cpu.stat'), 'usage_usec');
      return usedMicros === null ? null : usedMicros / 1000;
    }
    const usedNanos = this.#number(join(folder, 'cpuacct.usage'));
    return usedNanos === null ? null : usedNanos / 1e6;
  }

  /** How often the kernel has ended a process of this group (else of this machine) for memory; null if unknown. */
  oomKills(): number | null {
    const folder = this.#memory.folders[0];
    const own =
      folder === undefined
        ? null
        : this.#field(
            join(folder, this.#memory.version === 2 ? 'memory.events' : 'memory.oom_control'),
            'oom_kill',
          );
    return own ?? this.#field('proc/vmstat', 'oom_kill');
  }

  #quotaOf(folder: string): number | null {
    if (this.#cpu.version === 2) {
      const [quota, period] = (this.#read(join(folder, 'cpu.max')) ?? '').trim().split(/\s+/);
      return ratioOf(Number(quota), Number(period));
    }
    const quota = this.#number(join(folder, 'cpu.cfs_quota_us'));
    const period = this.#number(join(folder, 'cpu.cfs_period_us'));
    return ratioOf(quota ?? Number.NaN, period ?? Number.NaN);
  }

  #limitOf(folder: string): number | null {
    const file = this.#memory.version === 2 ? 'memory.max' : 'memory.limit_in_bytes';
    const limit = this.#number(join(folder, file));
    return limit === null || limit <= 0 || limit >= UNLIMITED_BYTES ? null : limit;
  }

  #usedOf(folder: string): number | null {
    const second = this.#memory.version === 2;
    const used = this.#number(join(folder, second ? 'memory.current' : 'memory.usage_in_bytes'));
    const cache = this.#field(join(folder, 'memory.stat'), second ? 'inactive_file' : 'total_inactive_file');
    return used === null ? null : used - (cache ?? 0);
  }

  #read(path: string): string | null {
    try {
      return readFileSync(join(this.#root, path), 'latin1');
    } catch {
      return null;
    }
  }

  /** A file that holds one number; null for "max" and what else is not one. */
  #number(path: string): number | null {
    const text = this.#read(path)?.trim();
    return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : null;
  }

  /** The number after `name` in a file of `name value` lines. */
  #field(path: string, name: string): number | null {
    for (const line of (this.#read(path) ?? '').split('\n')) {
      const [key, value] = line.split(' ');
      if (key === name && value !== undefined && /^\d+$/.test(value)) return Number(value);
    }
    return null;
  }
}

interface Hierarchy {
  readonly version: 1 | 2;
  /** Own group first. Empty when there is none. */
  readonly folders: readonly string[];
}

/** Where the groups of one controller are (v2 counts CPU time in `cpu`). v1 and v2 may be mixed on one machine. */
function findHierarchy(groups: string, mounts: string, controller: 'cpu' | 'cpuacct' | 'memory'): Hierarchy {
  const lines = groups.split('\n').map((line) => /^\d+:([^:]*):(\/.*)$/.exec(line));
  const first = lines.find((match) => match?.[1]?.split(',').includes(controller) === true);
  const unified = lines.find((match) => match?.[1] === '');
  const group = first ?? unified;
  const path = group?.[2];
  if (path === undefined) return { version: 2, folders: [] };
  const version = group === first ? 1 : 2;
  for (const line of mounts.split('\n')) {
    // id parent major:minor ROOT MOUNT options [optional fields] - TYPE source SUPER-OPTIONS
    const [before, after] = line.split(' - ');
    const [, , , mountRoot, mountPoint] = before?.split(' ') ?? [];
    const [type, , superOptions] = after?.split(' ') ?? [];
    if (mountRoot === undefined || mountPoint === undefined) continue;
    if (type !== (version === 1 ? 'cgroup' : 'cgroup2')) continue;
    if (version === 1 && superOptions?.trim().split(',').includes(controller) !== true) continue;
    return { version, folders: ancestry(unescapeOctal(mountPoint), below(path, unescapeOctal(mountRoot))) };
  }
  return { version, folders: [] };
}

/** The part of a group's path that is below the mounted part of the hierarchy. */
function below(path: string, mountRoot: string): string {
  if (mountRoot === '/') return path;
  return path === mountRoot || path.startsWith(`${mountRoot}/`) ? path.slice(mountRoot.length) : '/';
}

/** A group's folder and those above it, up to and with the mount point. `..` (outside our namespace) ends it. */
function ancestry(mountPoint: string, path: string): readonly string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) return [mountPoint];
  return Array.from({ length: parts.length + 1 }, (_, drop) =>
    join(mountPoint, ...parts.slice(0, parts.length - drop)),
  );
}

/** mountinfo writes blanks in paths as \040. */
function unescapeOctal(path: string): string {
  return path.replace(/\\(\d{3})/g, (_, digits: string) => String.fromCodePoint(Number.parseInt(digits, 8)));
}

function ratioOf(quota: number, period: number): number | null {
  return quota > 0 && period > 0 ? quota / period : null;
}

function tightest(limits: readonly (number | null)[]): number | null {
  const known = limits.filter((limit): limit is number => limit !== null);
  return known.length === 0 ? null : Math.min(...known);
}
