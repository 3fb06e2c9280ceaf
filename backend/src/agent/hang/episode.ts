/**
 * One silence of the main thread, from the moment at which it became suspicious to the next beat: what is found out
 * about it, and what is said of it. Belongs to the watching thread.
 */
import { nowMs } from '../clock.js';
import type { Hang } from '../protocol.js';
import type { HangWatchContext, MainThreadView } from '../seams.js';
import { difference, isPromptEntry, startOwing, verdictWithoutStack } from './answerTime.js';
import { collectingMs, longestCollectionMs } from './collection.js';
import { readCrumb } from './crumb.js';
import { Inspection } from './inspection.js';
import { takeReport } from './report.js';
import { sentence } from './sentence.js';
import type { Look } from './silence.js';
import { isAnyoneRunning, readChildren, readMainThread, type ThreadStat } from './threadStat.js';

/** How often it is looked whether a hang is to be reported without its stack. */
const STACK_LOOK_MS = 20;

/** A heap whose collection takes at most so long (128 MB) is not asked about: no collection makes a hang of a stall. */
const WORTH_ASKING_MS = 250;

/** Share of a core; a process that uses less is waiting. */
const WORKING = 0.2;

interface ThreadUse {
  readonly state: string | null;
  readonly queuedMs: number;
  readonly ranMs: number | null;
  /** Of a core while it did not wait for one, 0 to 1; null: not known. */
  readonly cpuShare: number | null;
  /** The same for all threads of the process. */
  readonly processShare: number;
}

export class Episode {
  readonly #context: HangWatchContext;
  readonly #startedAtMs: number;
  readonly #beats: number;
  readonly #baseline: ThreadStat;
  readonly #startedAtCpuMs = processCpuMs();
  readonly #inspection = new Inspection();
  #sent: Hang | null = null;
  #stackTimer: NodeJS.Timeout | undefined;

  constructor(context: HangWatchContext, startedAtMs: number) {
    this.#context = context;
    this.#startedAtMs = startedAtMs;
    this.#beats = context.main.beats();
    this.#baseline = readMainThread();
  }

  /**
   * With every look at a suspicious silence: what speaks for the main thread so far (./silence.ts). Where a collection
   * may be long enough to matter, the main thread is asked whether it lets anybody in.
   */
  excuses(atMs: number): Pick<Look, 'watchedMs' | 'queuedMs' | 'collectingMs'> {
    const watchedMs = atMs - this.#startedAtMs;
    const { queuedMs, ranMs, processShare } = this.#thread(atMs);
    const longestMs = longestCollectionMs(heapAtMost(this.#context.main));
    const hasBreadcrumb = readCrumb(this.#context.breadcrumbs) !== null;
    if (longestMs >= WORTH_ASKING_MS && !hasBreadcrumb) this.#inspection.ask();
    const unansweredMs = this.#inspection.unansweredMs();
    if (unansweredMs === 0) return { watchedMs, queuedMs, collectingMs: 0 };
    const isWorking = processShare >= WORKING || isAnyoneRunning();
    return {
      watchedMs,
      queuedMs,
      collectingMs: collectingMs({ unansweredMs, hasBreadcrumb, isWorking, ranMs, longestMs }),
    };
  }

  /** It is a hang, with this number: finds out where, and sends it. Once. */
  report(hang: number): void {
    const crumb = readCrumb(this.#context.breadcrumbs);
    if (crumb !== null) {
      this.#send(hang, 'native', crumb.stack);
      return;
    }
    const askedAtMs = nowMs();
    const owedMs = startOwing();
    let isJavaScript = this.#inspection.isLetIn();
    this.#stackTimer = setInterval(() => {
      const verdict = verdictWithoutStack(owedMs(), nowMs() - askedAtMs);
      if (verdict === null) return;
      clearInterval(this.#stackTimer);
      // With a heap of gigabytes, which the debugger walks through for scripts, the stack of JavaScript comes late.
      this.#send(hang, isJavaScript ? 'javascript' : verdict, []);
    }, STACK_LOOK_MS);
    const enter = (): void => {
      isJavaScript ||= isPromptEntry(owedMs());
    };
    this.#inspection.takeStack(enter, (outcome) => {
      clearInterval(this.#stackTimer);
      if (outcome.kind === 'stack') this.#send(hang, isJavaScript ? 'javascript' : 'native', outcome.frames);
    });
  }

  /** It is over. Returns whether it was reported as a hang. */
  end(): boolean {
    clearInterval(this.#stackTimer);
    this.#inspection.end();
    return this.#sent !== null;
  }

  /** The main thread since this episode began. */
  #thread(atMs: number): ThreadUse {
    const now = readMainThread();
    const queuedMs = difference(now.queuedMs, this.#baseline.queuedMs) ?? 0;
    const ranMs = difference(now.ranMs, this.#baseline.ranMs);
    const couldRunMs = Math.max(1, atMs - this.#startedAtMs - queuedMs);
    return {
      state: now.state,
      queuedMs,
      ranMs,
      cpuShare: ranMs === null ? null : Math.min(1, ranMs / couldRunMs),
      processShare: (processCpuMs() - this.#startedAtCpuMs) / couldRunMs,
    };
  }

  #send(hang: number, where: Hang['where'], stack: readonly string[]): void {
    const { main, breadcrumbs, send } = this.#context;
    // A beat in between: it is over, and what is to be seen now has nothing to do with it.
    if (main.beats() !== this.#beats) return;
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

/** What the heap may have grown to in a silence, in which nobody publishes its size: all that is in memory. */
function heapAtMost(main: MainThreadView): number {
  const residentBytes = process.memoryUsage.rss() - main.externalBytes();
  return Math.min(main.heapLimitBytes() || Infinity, Math.max(main.heapUsedBytes(), residentBytes));
}

function processCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
