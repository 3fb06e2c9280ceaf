/**
 * Asking a silent main thread, and taking its stack, through the inspector: a session from this thread to that one
 * inside the process, no port opened. Messages interrupt JavaScript wherever it runs (a busy loop, a regular
 * expression, `Atomics.wait`); native code lets nobody in until it returns, and that difference is half of the answer.
 *
 *      ask        a harmless question; how long it stays unanswered tells JavaScript from native code
 *      takeStack  Debugger.enable ─▶ answered ─▶ Debugger.pause ─▶ paused: frames ─▶ Debugger.resume, disconnect
 *      end        disconnect, whatever is still under way: a pause that has not happened is called off
 *
 * The main thread stands still for the moment between `paused` and `resume` (about a millisecond), which it spends in a
 * silence anyway. Somebody else's debugger goes first: when the main thread is already paused as we come, or stops at a
 * breakpoint, we leave without resuming it, and it is `held`, not hung. One inspection serves one silence.
 */
import type { Debugger, Session } from 'node:inspector';
import { nowMs as clockMs } from '../clock.js';

/** An answer within this time says that JavaScript was running; what takes longer was closed to everybody. */
const PROMPT_MS = 100;
const MAX_FRAMES = 64;
const MAX_FRAME_LENGTH = 300;
/** A session that has no answer to `resume` is cut. */
const RESUME_TIMEOUT_MS = 1_000;

export type Outcome =
  | { readonly kind: 'stack'; readonly frames: readonly string[] }
  /** Somebody else's debugger holds it. */
  | { readonly kind: 'held' };

export interface Inspection {
  /** Asks, unless a question is still open. */
  ask(nowMs: number): void;
  /** For how long questions of this inspection stayed without a prompt answer, ms. */
  unansweredMs(nowMs: number): number;
  /** Whether a question is open for longer than JavaScript needs to answer it. */
  isClosed(nowMs: number): boolean;
  /** Called once, when the main thread lets us in; never, when it does not before `end`. */
  takeStack(done: (outcome: Outcome) => void): void;
  end(): void;
}

/** Connects; throws where there is no inspector (a build without it, a permission model). */
export function inspectMainThread(): Inspection {
  const session = new (process.getBuiltinModule('node:inspector').Session)();
  session.connectToMainThread();
  let isOpen = true;
  let askedAtMs: number | null = null;
  let closedMs = 0;

  const disconnect = (): void => {
    if (!isOpen) return;
    isOpen = false;
    session.disconnect();
  };

  return {
    ask(nowMs) {
      if (!isOpen || askedAtMs !== null) return;
      askedAtMs = nowMs;
      // The cheapest there is: needs no domain to be enabled and touches nothing.
      session.post('Runtime.getIsolateId' as 'Runtime.getHeapUsage', () => {
        const tookMs = clockMs() - nowMs;
        askedAtMs = null;
        if (tookMs > PROMPT_MS) closedMs += tookMs;
      });
    },
    unansweredMs(nowMs) {
      const openMs = askedAtMs === null ? 0 : nowMs - askedAtMs;
      return closedMs + (openMs > PROMPT_MS ? openMs : 0);
    },
    isClosed: (nowMs) => askedAtMs !== null && nowMs - askedAtMs > PROMPT_MS,
    takeStack(done) {
      if (isOpen) pause(session, disconnect, done);
    },
    end: disconnect,
  };
}

function pause(session: Session, disconnect: () => void, done: (outcome: Outcome) => void): void {
  let isEnabled = false;
  let isOver = false;
  session.on('Debugger.paused', ({ params }) => {
    if (isOver) return;
    isOver = true;
    // Before our `enable` was answered, or at a breakpoint (we set none): it is not our pause.
    if (!isEnabled || (params.hitBreakpoints?.length ?? 0) > 0) {
      disconnect();
      done({ kind: 'held' });
      return;
    }
    const timer = setTimeout(disconnect, RESUME_TIMEOUT_MS);
    session.post('Debugger.resume', () => {
      clearTimeout(timer);
      disconnect();
    });
    done({ kind: 'stack', frames: params.callFrames.slice(0, MAX_FRAMES).map(frameLine) });
  });
  session.post('Debugger.enable', (error) => {
    isEnabled = true;
    if (error === null && !isOver) session.post('Debugger.pause');
  });
}

/** "blockHere (/app/server.js:10:5)" */
function frameLine({ functionName, url, location }: Debugger.CallFrame): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  const place = `${url.replace(/^file:\/\//, '')}:${location.lineNumber + 1}:${(location.columnNumber ?? 0) + 1}`;
  return `${name} (${place})`.slice(0, MAX_FRAME_LENGTH);
}
