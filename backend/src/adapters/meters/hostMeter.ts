/**
 * The machine, or the container's share of it.
 *
 * `figures()` answers at once. Cheap figures (CPU, memory, load) are read when it is asked and the last reading is
 * older than two seconds; those that can be slow (disk, connections) are fetched in the background, started by being
 * asked, and the last known figure is given meanwhile. So there is no timer, nothing keeps the process alive, and
 * nobody pays for figures that nobody wants. A fetch that hangs (a dead network disk) is not started twice, and
 * its figure goes missing rather than stale.
 *
 * On Linux everything comes from small kernel files. systeminformation serves where those do not exist, and is
 * loaded only there: it costs 19 MB of memory, a sixth of what the supervisor may use.
 */
import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { cpus, freemem, loadavg, totalmem, uptime } from 'node:os';
import { join } from 'node:path';
import type { HostFigures, HostMeter } from '../../ports.js';
import { Background } from './background.js';
import { Cgroup } from './cgroup.js';

const CHEAP_EVERY_MS = 2_000;
const CONNECTIONS_EVERY_MS = 15_000;
const DISK_EVERY_MS = 60_000;

export interface SystemHostMeterOptions {
  /** The disk that this path is on is the one reported. Default: the working directory. */
  readonly diskPath?: string;
  /** Where /proc and /sys are, for tests. Default `/`. */
  readonly root?: string;
  /** Monotonic, ms. Default `performance.now`. */
  readonly nowMs?: () => number;
  /** Whether to ask systeminformation instead of the kernel's files. Default: everywhere but on Linux. */
  readonly portable?: boolean;
}

interface CpuTimes {
  readonly atMs: number;
  /** Busy time of all cores together, ms. */
  readonly busyMs: number;
  /** What 100 % would have been, ms: of all cores since boot, or null when the quota sets it. */
  readonly wholeMs: number | null;
}

interface Cheap {
  readonly atMs: number;
  readonly cpuPercent: number | null;
  readonly memoryTotalBytes: number;
  readonly memoryAvailableBytes: number;
  readonly loadAverage1m: number;
}

export class SystemHostMeter implements HostMeter {
  readonly #root: string;
  readonly #nowMs: () => number;
  readonly #cgroup: Cgroup;
  readonly #cores: number;
  readonly #quotaCores: number | null;
  readonly #disk: Background<number>;
  readonly #connections: Background<number>;
  /** Null on Linux, where `freemem` is what can be had without swapping; elsewhere it leaves out the caches. */
  readonly #availableBytes: Background<number> | null;
  #cpu: CpuTimes;
  #cheap: Cheap | null = null;

  constructor(options: SystemHostMeterOptions = {}) {
    const portable = options.portable ?? process.platform !== 'linux';
    const diskPath = options.diskPath ?? process.cwd();
    const nowMs = options.nowMs ?? (() => performance.now());
    this.#root = options.root ?? '/';
    this.#nowMs = nowMs;
    this.#cgroup = new Cgroup(this.#root);
    this.#cores = this.#cgroup.availableCores();
    this.#quotaCores = this.#cgroup.cpuQuotaCores();
    this.#cpu = this.#readCpu();
    this.#disk = new Background(() => diskUsedPercent(diskPath), DISK_EVERY_MS, nowMs);
    this.#connections = new Background(
      portable ? connectionsFromSystem : () => Promise.resolve(connectionsFromProc(this.#root)),
      CONNECTIONS_EVERY_MS,
      nowMs,
    );
    this.#availableBytes = portable ? new Background(availableFromSystem, CONNECTIONS_EVERY_MS, nowMs) : null;
  }

  figures(): HostFigures {
    const nowMs = this.#nowMs();
    if (this.#cheap === null || nowMs - this.#cheap.atMs >= CHEAP_EVERY_MS) {
      this.#cheap = this.#readCheap(nowMs);
    }
    const { cpuPercent, memoryTotalBytes, memoryAvailableBytes, loadAverage1m } = this.#cheap;
    return {
      cores: this.#cores,
      cpuPercent,
      memoryTotalBytes,
      memoryAvailableBytes,
      diskUsedPercent: this.#disk.latest(),
      connections: this.#connections.latest(),
      loadAverage1m,
      uptimeSeconds: Math.round(uptime()),
    };
  }

  oomKills(): number | null {
    return this.#cgroup.oomKills();
  }

  #readCheap(nowMs: number): Cheap {
    const before = this.#cpu;
    this.#cpu = this.#readCpu();
    const group = this.#cgroup.memory();
    const memoryTotalBytes = Math.min(totalmem(), group?.limitBytes ?? Number.POSITIVE_INFINITY);
    const available = this.#availableBytes?.latest() ?? freemem();
    return {
      atMs: nowMs,
      cpuPercent: percentBetween(before, this.#cpu, this.#quotaCores),
      memoryTotalBytes,
      memoryAvailableBytes: Math.min(available, group?.availableBytes ?? Number.POSITIVE_INFINITY),
      loadAverage1m: loadavg()[0] ?? 0,
    };
  }

  /** With a CPU quota, the group's own time; else the machine's. */
  #readCpu(): CpuTimes {
    const atMs = this.#nowMs();
    const usedMs = this.#quotaCores === null ? null : this.#cgroup.cpuUsedMs();
    if (usedMs !== null) return { atMs, busyMs: usedMs, wholeMs: null };
    let busyMs = 0;
    let wholeMs = 0;
    for (const { times } of cpus()) {
      const busy = times.user + times.nice + times.sys + times.irq;
      busyMs += busy;
      wholeMs += busy + times.idle;
    }
    return { atMs, busyMs, wholeMs };
  }
}

function percentBetween(before: CpuTimes, after: CpuTimes, quotaCores: number | null): number | null {
  const wholeMs =
    before.wholeMs !== null && after.wholeMs !== null
      ? after.wholeMs - before.wholeMs
      : (after.atMs - before.atMs) * (quotaCores ?? Number.NaN);
  if (!(wholeMs > 0)) return null;
  return Math.min(100, Math.max(0, (100 * (after.busyMs - before.busyMs)) / wholeMs));
}

/** As `df` counts: what is reserved for root is not available, and not used either. */
async function diskUsedPercent(path: string): Promise<number | null> {
  const { blocks, bfree, bavail } = await statfs(path);
  const used = blocks - bfree;
  return used + bavail > 0 ? (100 * used) / (used + bavail) : null;
}

/** Established TCP connections of this network namespace: one counter, whatever their number. */
function connectionsFromProc(root: string): number | null {
  const lines = readFileSync(join(root, 'proc/net/snmp'), 'latin1').split('\n');
  const [names, values] = lines.filter((line) => line.startsWith('Tcp:')).map((line) => line.split(' '));
  const value = Number(values?.[names?.indexOf('CurrEstab') ?? -1] ?? Number.NaN);
  return Number.isFinite(value) ? value : null;
}

async function connectionsFromSystem(): Promise<number> {
  const { default: systeminformation } = await import('systeminformation');
  const connections = await systeminformation.networkConnections();
  return connections.filter(({ state }) => state === 'ESTABLISHED').length;
}

async function availableFromSystem(): Promise<number> {
  const { default: systeminformation } = await import('systeminformation');
  return (await systeminformation.mem()).available;
}
