/**
 * Asking a silent main thread, and taking its stack, through the inspector: sessions from this thread to that one inside
 * the process, no port opened. Messages interrupt JavaScript wherever it runs (a busy loop, a regular expression,
 * `Atomics.wait`); native code lets nobody in until it returns, and that difference is half of the answer.
 *
 *      ask        a harmless question; how long it stays unanswered tells JavaScript from native code
 *      takeStack  Debugger.enable ─▶ answered ─▶ Debugger.pause ─▶ paused: frames ─▶ Debugger.resume, disconnect
 *      end        disconnect, whatever is still under way: a pause that has not happened is called off
 *
 * A process that ends waits for sessions to this thread, and says so on stderr ("Waiting for the debugger to
 * disconnect"). So each is as short as can be, a millisecond for a question that is answered, and there is none as long
 * as the main thread turns.
 *
 * The main thread stands still for the moment between `paused` and `resume` (about a millisecond), which it spends in a
 * silence anyway. Somebody else's debugger goes first: when the main thread is already paused as we come, or stops at a
 * breakpoint, we leave without resuming it, and it is `held`, not hung. One inspection serves one silence.
 */
import type { Debugger, Session } from 'node:inspector';
import { nowMs } from '../clock.js';
import { startOwing } from './answerTime.js';

const MAX_FRAMES = 64;
const MAX_FRAME_LENGTH = 300;
/** Names of scripts that are remembered while a stack is taken. */
const MAX_SCRIPTS = 20_000;
/** A session that has no answer to `resume` is cut. */
const RESUME_TIMEOUT_MS = 1_000;

export type Outcome =
  | { readonly kind: 'stack'; readonly frames: readonly string[] }
  /** Somebody else's debugger holds it. */
  | { readonly kind: 'held' };

/** A question that is answered within this time has met JavaScript; what takes longer was closed to everybody. */
const PROMPT_MS = 40;

interface Question {
  readonly askedAtMs: number;
  /** How long the main thread has owed the answer: on a busy machine JavaScript answers late, too. */
  readonly owedMs: () => number;
}

export class Inspection {
  readonly #open = new Set<Session>();
  #question: Question | null = null;
  #closedMs = 0;
  #lastWasPrompt = false;

  /** Asks, unless a question is still open. */
  ask(): void {
    if (this.#question !== null) return;
    const question = { askedAtMs: nowMs(), owedMs: startOwing() };
    this.#question = question;
    const session = this.#connect();
    // Nobody can be asked: a question for good without an answer.
    if (session === null) return;
    // The cheapest there is: needs no domain to be enabled and touches nothing.
    session.post('Runtime.getIsolateId' as 'Runtime.getHeapUsage', () => {
      this.#question = null;
      this.#lastWasPrompt = isPrompt(question);
      if (!this.#lastWasPrompt) this.#closedMs += nowMs() - question.askedAtMs;
      this.#close(session);
    });
  }

  /**
   * For how long questions stayed, or stay, without a prompt answer, ms by the clock. 0 when none was asked. An open one
   * counts on a busy machine as well: until it is answered, nothing says that it is no collection.
   */
  unansweredMs(): number {
    return this.#closedMs + (this.#question === null ? 0 : nowMs() - this.#question.askedAtMs);
  }

  /** Whether questions are answered at once: JavaScript runs. False when none was asked. */
  isLetIn(): boolean {
    return this.#lastWasPrompt && (this.#question === null || isPrompt(this.#question));
  }

  /**
   * `onEntry` is called when the main thread lets us in, `onOutcome` when its stack is there; neither, when that does not
   * happen before `end`, or when there is no inspector: a build without it, or a permission model that forbids it.
   */
  takeStack(onEntry: () => void, onOutcome: (outcome: Outcome) => void): void {
    const session = this.#connect();
    if (session === null) return;
    let isEntered = false;
    let isEnabled = false;
    let isOver = false;
    const enter = (): void => {
      if (!isEntered) onEntry();
      isEntered = true;
    };
    // Frames name their script by number; names come with `enable`, for every script there is.
    const scripts = new Map<string, string>();
    session.on('Debugger.scriptParsed', ({ params }) => {
      enter();
      if (scripts.size < MAX_SCRIPTS) scripts.set(params.scriptId, params.url);
    });
    session.on('Debugger.paused', ({ params }) => {
      if (isOver) return;
      isOver = true;
      // Before our `enable` was answered, or at a breakpoint (we set none): it is not our pause.
      if (!isEnabled || (params.hitBreakpoints?.length ?? 0) > 0) {
        this.#close(session);
        onOutcome({ kind: 'held' });
        return;
      }
      this.#resume(session);
      const frames = params.callFrames.slice(0, MAX_FRAMES).map((frame) => frameLine(frame, scripts));
      onOutcome({ kind: 'stack', frames });
    });
    session.post('Debugger.enable', (error) => {
      isEnabled = true;
      if (error !== null || isOver) return;
      enter();
      session.post('Debugger.pause');
    });
  }

  end(): void {
    for (const session of this.#open) this.#close(session);
  }

  #resume(session: Session): void {
    const timer = setTimeout(() => this.#close(session), RESUME_TIMEOUT_MS);
    session.post('Debugger.resume', () => {
      clearTimeout(timer);
      this.#close(session);
    });
  }

  #connect(): Session | null {
    try {
      const session = new (process.getBuiltinModule('node:inspector').Session)();
      session.connectToMainThread();
      this.#open.add(session);
      return session;
    } catch {
      return null;
    }
  }

  #close(session: Session): void {
    if (this.#open.delete(session)) session.disconnect();
  }
}

function isPrompt({ owedMs }: Question): boolean {
  return owedMs() <= PROMPT_MS;
}

/** "blockHere (/app/server.js:10:5)" */
function frameLine(frame: Debugger.CallFrame, scripts: ReadonlyMap<string, string>): string {
  const { functionName, location } = frame;
  const file = (scripts.get(location.scriptId) ?? '').replace(/^file:\/\//, '');
  const place = `${file}:${location.lineNumber + 1}:${(location.columnNumber ?? 0) + 1}`;
  return `${functionName === '' ? '(anonymous)' : functionName} (${place})`.slice(0, MAX_FRAME_LENGTH);
}
