/**
 * One silence of the main thread, from the moment at which it became suspicious to the next beat: what is found out
 * about it, and what is said of it. Belongs to the watching thread.
 */
import { nowMs } from '../clock.js';
import type { Hang } from '../protocol.js';
import type { HangWatchContext, MainThreadView } from '../seams.js';
import { collectingMs } from './collection.js';
import { readCrumb } from './crumb.js';
import { inspectMainThread, type Inspection } from './inspection.js';
import { takeReport } from './report.js';
import { sentence } from './sentence.js';
import { readChildren, readMainThread, type ThreadStat } from './threadStat.js';

/** A hang is reported without its stack when that has not come this long after the time-out. */
const STACK_WAIT_MS = 120;

export class Episode {
  readonly #context: HangWatchContext;
  readonly #startedAtMs: number;
  readonly #beats: number;
  readonly #baseline: ThreadStat;
  readonly #inspection: Inspection | null;
  #sent: Hang | null = null;
  #stackTimer: NodeJS.Timeout | undefined;

  constructor(context: HangWatchContext, startedAtMs: number) {
    this.#context = context;
    this.#startedAtMs = startedAtMs;
    this.#beats = context.main.beats();
    this.#baseline = readMainThread();
    this.#inspection = tryInspect();
  }

  /** What speaks for the main thread so far: see ./silence.ts. */
  excuses(atMs: number): { readonly queuedMs: number; readonly collectingMs: number } {
    const { queuedMs, cpuShare } = this.#thread(atMs);
    const closure = {
      unansweredMs: this.#inspection?.unansweredMs(atMs) ?? atMs - this.#startedAtMs,
      hasBreadcrumb: readCrumb(this.#context.breadcrumbs) !== null,
      cpuShare,
      heapBytes: heapAtMost(this.#context.main),
    };
    return { queuedMs, collectingMs: collectingMs(closure) };
  }

  /** Asks the main thread whether it lets anybody in. */
  ask(atMs: number): void {
    this.#inspection?.ask(atMs);
  }

  /** It is a hang, with this number: finds out where, and sends it. Once. */
  report(hang: number): void {
    const inspection = this.#inspection;
    const crumb = readCrumb(this.#context.breadcrumbs);
    if (crumb !== null || inspection === null) {
      inspection?.end();
      this.#send(hang, 'native', crumb?.stack ?? []);
      return;
    }
    this.#stackTimer = setTimeout(() => {
      this.#send(hang, inspection.isClosed(nowMs()) ? 'native' : 'javascript', []);
    }, STACK_WAIT_MS);
    inspection.takeStack((outcome) => {
      clearTimeout(this.#stackTimer);
      // A beat in between: what we see now has nothing to do with that silence.
      if (outcome.kind === 'held' || this.#context.main.beats() !== this.#beats) return;
      this.#send(hang, this.#sent?.where ?? 'javascript', outcome.frames);
    });
  }

  /** It is over. Returns whether it was reported as a hang. */
  end(): boolean {
    clearTimeout(this.#stackTimer);
    this.#inspection?.end();
    return this.#sent !== null;
  }

  /** The main thread since this episode began. */
  #thread(atMs: number): { state: string | null; queuedMs: number; cpuShare: number | null } {
    const now = readMainThread();
    const queuedMs = difference(now.queuedMs, this.#baseline.queuedMs) ?? 0;
    const ranMs = difference(now.ranMs, this.#baseline.ranMs);
    const couldRunMs = atMs - this.#startedAtMs - queuedMs;
    const cpuShare = ranMs === null || couldRunMs < 1 ? null : Math.min(1, ranMs / couldRunMs);
    return { state: now.state, queuedMs, cpuShare };
  }

  #send(hang: number, where: Hang['where'], stack: readonly string[]): void {
    const { main, breadcrumbs, send } = this.#context;
    const silentMs = main.beatAgeMs();
    const limitBytes = main.heapLimitBytes();
    const detail = sentence({
      ...this.#thread(nowMs()),
      silentMs,
      where,
      stack,
      crumb: readCrumb(breadcrumbs),
      children: readChildren(),
      heapShare: limitBytes > 0 ? main.heapUsedBytes() / limitBytes : 0,
    });
    const isFirst = this.#sent === null;
    const requests = main.requests();
    this.#sent = { type: 'hang', hang, silentMs: Math.round(silentMs), where, stack, detail, requests };
    send(this.#sent);
    // What takes longer comes after the message itself is on its way.
    if (isFirst) setImmediate(sendReport, this.#context);
  }
}

function sendReport({ send }: HangWatchContext): void {
  const content = takeReport();
  if (content !== null) send({ type: 'attachment', kind: 'report', content });
}

/** null where there is no inspector: a build without it, or a permission model that forbids it. */
function tryInspect(): Inspection | null {
  try {
    return inspectMainThread();
  } catch {
    return null;
  }
}

/** What the heap may have grown to in a silence, in which nobody publishes its size: all that is in memory. */
function heapAtMost(main: MainThreadView): number {
  const residentBytes = process.memoryUsage.rss() - main.externalBytes();
  return Math.min(main.heapLimitBytes() || Infinity, Math.max(main.heapUsedBytes(), residentBytes));
}

function difference(now: number | null, before: number | null): number | null {
  return now === null || before === null ? null : now - before;
}
