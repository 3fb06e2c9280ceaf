/**
 * CPU and memory of processes, measured on our own clock.
 *
 * CPU % is the process time used between two samples divided by the monotonic time between them; the baseline of
 * each process is ours alone, keyed by its pid and start. Nobody else's polling (a second supervisor, PM2's own
 * monitor, another user of pidusage in this process) can move it, which is what makes `monit.cpu` wrong.
 *
 * Two callers of one meter share its baselines: a call within MIN_INTERVAL_MS of a process's baseline repeats the
 * last figure and leaves the baseline alone, so a stray call can neither disturb the steady one nor get a figure
 * out of a few clock ticks. The first sample of a process has no figure: null, never 0.
 *
 * Linux reads /proc, and counts a process with all its descendants; elsewhere pidusage delivers the sums of
 * the process alone (its own percentages are not used).
 */
import type { ProcessFigures, ProcessMeter } from '../../ports.js';
import { readTreeTimes, type ProcessTimes } from './procStat.js';

/** Process times have a resolution of 10 ms: over 500 ms that is 2 % of a core. */
const MIN_INTERVAL_MS = 500;
/** A process that nobody asked about for so long is forgotten. */
const FORGET_AFTER_MS = 120_000;
/** And never more than this, the longest unasked-about first. */
const MAX_PROCESSES = 4096;

type Target = { readonly pid: number; readonly startedAtMs: number };
/** Times of the processes that could be read. */
export type TimesReader = (pids: readonly number[]) => Promise<ReadonlyMap<number, ProcessTimes>>;

interface Baseline {
  readonly startedAtMs: number;
  readonly start: number;
  cpuMs: number;
  atMs: number;
  askedAtMs: number;
  cpuPercent: number | null;
}

export interface SystemProcessMeterOptions {
  /** Monotonic, ms. Default `performance.now`. */
  readonly nowMs?: () => number;
  /** Default: /proc on Linux, pidusage elsewhere. */
  readonly read?: TimesReader;
}

export class SystemProcessMeter implements ProcessMeter {
  /** In the order of last use, so that the first is the one to forget. */
  readonly #baselines = new Map<number, Baseline>();
  readonly #nowMs: () => number;
  readonly #read: TimesReader;

  constructor(options: SystemProcessMeterOptions = {}) {
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#read = options.read ?? (process.platform === 'linux' ? readFromProc : readWithPidusage);
  }

  /** One sample of each process; see the port. */
  async sample(processes: readonly Target[]): Promise<ReadonlyMap<number, ProcessFigures>> {
    const figures = new Map<number, ProcessFigures>();
    if (processes.length === 0) return figures;
    let times: ReadonlyMap<number, ProcessTimes>;
    try {
      times = await this.#read(processes.map(({ pid }) => pid));
    } catch {
      return figures;
    }
    const nowMs = this.#nowMs();
    for (const target of processes) {
      const now = times.get(target.pid);
      if (now === undefined) {
        this.#baselines.delete(target.pid);
        continue;
      }
      const cpuPercent = this.#cpuPercent(target, now, nowMs);
      figures.set(target.pid, { cpuPercent, memoryBytes: now.memoryBytes });
    }
    this.#forget(nowMs);
    return figures;
  }

  /** Processes with a baseline. */
  get tracked(): number {
    return this.#baselines.size;
  }

  #cpuPercent({ pid, startedAtMs }: Target, now: ProcessTimes, nowMs: number): number | null {
    let baseline = this.#baselines.get(pid);
    this.#baselines.delete(pid);
    // Another process under the same pid, or times that ran backwards: begin anew.
    if (
      baseline === undefined ||
      baseline.start !== now.start ||
      baseline.startedAtMs !== startedAtMs ||
      now.cpuMs < baseline.cpuMs
    ) {
      baseline = {
        startedAtMs,
        start: now.start,
        cpuMs: now.cpuMs,
        atMs: nowMs,
        askedAtMs: nowMs,
        cpuPercent: null,
      };
    }
    const elapsedMs = nowMs - baseline.atMs;
    if (elapsedMs >= MIN_INTERVAL_MS) {
      baseline.cpuPercent = (100 * (now.cpuMs - baseline.cpuMs)) / elapsedMs;
      baseline.cpuMs = now.cpuMs;
      baseline.atMs = nowMs;
    }
    baseline.askedAtMs = nowMs;
    this.#baselines.set(pid, baseline);
    return baseline.cpuPercent;
  }

  #forget(nowMs: number): void {
    for (const [pid, { askedAtMs }] of this.#baselines) {
      if (this.#baselines.size <= MAX_PROCESSES && nowMs - askedAtMs < FORGET_AFTER_MS) break;
      this.#baselines.delete(pid);
    }
  }
}

/** Linux. Asynchronous only for the sake of the platforms that must ask another program. */
export const readFromProc: TimesReader = async (pids) => {
  const times = new Map<number, ProcessTimes>();
  for (const pid of pids) {
    const read = readTreeTimes(pid);
    if (read !== null) times.set(pid, read);
  }
  return times;
};

/**
 * For platforms without /proc. Loaded when first used. The start is not exact there, so a reused pid shows by its
 * caller's `startedAtMs` and by times that run backwards.
 */
export const readWithPidusage: TimesReader = async (pids) => {
  const { default: pidusage } = await import('pidusage');
  const stats: Readonly<Record<string, { ctime: number; memory: number } | null | undefined>> =
    await pidusage([...pids]);
  const times = new Map<number, ProcessTimes>();
  for (const [pid, stat] of Object.entries(stats)) {
    if (stat) times.set(Number(pid), { cpuMs: stat.ctime, memoryBytes: stat.memory, start: 0 });
  }
  return times;
};
