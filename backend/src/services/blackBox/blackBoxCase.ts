/**
 * One black box that is being filled: from the decision until it is known what came of it. Collects; decides nothing,
 * and writes nothing. What is new since the last time is handed out once (`takeNew`), and taken back when it could not
 * be written.
 */
import type { AgentFigures, AgentRecord, Hang } from '../../domain/agents/agent.js';
import type {
  BlackBoxOutcome,
  BlackBoxSummary,
  FiguresLine,
  OutsideFigures,
} from '../../domain/blackBox/blackBox.js';
import { beginCourse, followed, givenUp } from '../../domain/blackBox/blackBoxCourse.js';
import type { Course } from '../../domain/blackBox/blackBoxCourse.js';
import { findings, stackText } from '../../domain/blackBox/blackBoxText.js';
import type { EventRecord } from '../../domain/events.js';
import type { FailureCause } from '../../domain/model.js';
import type { BlackBoxPieces, Clock, ProcessExit } from '../../ports.js';

/** What is known at the decision. */
export type Facts = Omit<
  BlackBoxSummary,
  'version' | 'findings' | 'outcome' | 'hang' | 'versions' | 'stderrPath' | 'omitted' | 'after'
>;

/** An agent's minute has 240 lines, the supervisor's 60; what follows the decision is written down, too. */
const MOST_LINES = 1_000;
const MOST_EVENTS_AFTER = 50;
const MOST_FURTHER = 5;
/** An end so soon after probes failed is why they failed. */
const SYMPTOM_MS = 5_000;
/** A heartbeat this old: the main thread was blocked when the decision fell. Normally it is below 100 ms. */
const BLOCKED_MS = 500;
/** An attachment this much older than the decision belongs to something else. */
const REPORT_FRESH_MS = 60_000;
const PROFILE_FRESH_MS = 600_000;

export class BlackBoxCase {
  /** Clock.nowMs() of the decision. */
  readonly decidedAtMs: number;
  readonly #clock: Clock;
  readonly #holdfastVersion: string;
  readonly #decidedWallMs: number;
  readonly #after: EventRecord[] = [];
  readonly #further: string[] = [];
  #facts: Facts;
  readonly #inside: AgentFigures[] = [];
  readonly #outside: OutsideFigures[] = [];
  #course: Course;
  #outcome: BlackBoxOutcome | null = null;
  #record: AgentRecord | null = null;
  #hang: Hang | null = null;
  #last: { readonly figures: AgentFigures; readonly ageMs: number } | null = null;
  #stderr: { readonly path: string; readonly text: string } | null = null;
  #new: BlackBoxPieces = {};

  constructor(options: { clock: Clock; facts: Facts; holdfastVersion: string }) {
    const { clock, facts, holdfastVersion } = options;
    this.#clock = clock;
    this.#facts = facts;
    this.#holdfastVersion = holdfastVersion;
    this.decidedAtMs = clock.nowMs();
    this.#decidedWallMs = clock.wallMs();
    this.#course = beginCourse(facts, facts.decision.by === 'exit');
  }

  get facts(): Facts {
    return this.#facts;
  }

  /** Whether it is known what came of it. */
  get settled(): boolean {
    return this.#outcome !== null;
  }

  get ageMs(): number {
    return this.#clock.nowMs() - this.decidedAtMs;
  }

  /** An event of its service. @returns whether that settled it. */
  follow(event: EventRecord): boolean {
    if (this.settled) return false;
    if (this.#after.length < MOST_EVENTS_AFTER) this.#after.push(event);
    this.#course = followed(this.#course, event, Math.round(this.ageMs));
    this.#outcome = this.#course.outcome;
    return this.settled;
  }

  /** It was found unfit for another reason before what was decided was done. */
  condemnedAgain(cause: FailureCause, detail: string): void {
    this.#noteFurther(cause, detail);
  }

  /**
   * It ended by its own fault before what was decided was done. Probes see symptoms only, and may see them earlier than
   * PM2 the end: then the end is what it was all about.
   */
  ended({ exitCode, signal }: ProcessExit, cause: FailureCause, detail: string): void {
    const isSymptom = this.facts.cause === 'unhealthy' || this.facts.cause === 'unresponsive';
    if (!isSymptom || this.ageMs > SYMPTOM_MS) {
      this.#noteFurther(cause, detail);
      return;
    }
    this.#further.push(`probes were the first to notice, ${this.facts.cause}: ${this.facts.detail}`);
    const decision = { ...this.facts.decision, by: 'exit', exitCode, signal } as const;
    this.#facts = { ...this.facts, cause, detail, decision };
  }

  /** Nobody watches any longer. */
  giveUp(): void {
    this.#outcome ??= givenUp(this.#course, Math.round(this.ageMs));
  }

  /** What is known from inside by now. @returns whether a stack, a report or a profile came with it. */
  learn(record: AgentRecord | null): boolean {
    if (record === null) return false;
    const before = this.#record;
    this.#record = record;
    this.#takeFigures(record);
    const hang = this.#hangOf(record);
    const known = this.#hang;
    const isNewStack = hang !== null && (hang.hang !== known?.hang || hang.stack.length > known.stack.length);
    if (isNewStack) this.#note('stack', stackText(hang, this.#whose()));
    this.#hang = hang;
    const isNewReport = this.#takeAttachment(record, before, 'report', REPORT_FRESH_MS);
    const isNewProfile = this.#takeAttachment(record, before, 'heap-profile', PROFILE_FRESH_MS);
    return isNewStack || isNewReport || isNewProfile;
  }

  /** What was seen from outside, oldest first. */
  see(figures: readonly OutsideFigures[]): void {
    const newest = this.#outside.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY;
    for (const each of figures) {
      if (each.atMs > newest && this.#lines() < MOST_LINES) this.#outside.push(each);
    }
  }

  hear(stderr: { readonly path: string; readonly text: string } | null): void {
    if (stderr === null) return;
    this.#stderr = stderr;
    this.#note('stderr', stderr.text);
  }

  /** All that has not been handed out yet, figures always: there are more of them each time. */
  takeNew(): BlackBoxPieces {
    const figures = this.#figures();
    const pieces = { ...this.#new, ...(figures.length === 0 ? {} : { figures }) };
    this.#new = {};
    return pieces;
  }

  /** They could not be written. */
  putBack({ figures: _figures, ...pieces }: BlackBoxPieces): void {
    this.#new = { ...pieces, ...this.#new };
  }

  summary(): BlackBoxSummary {
    const hang = this.#hang;
    return {
      version: 1,
      ...this.facts,
      findings: this.#findings(),
      outcome: this.#outcome,
      hang:
        hang === null
          ? null
          : {
              silentMs: Math.round(hang.silentMs),
              where: hang.where,
              detail: hang.detail,
              requests: hang.requests,
            },
      versions: {
        holdfast: this.#holdfastVersion,
        agent: this.#record?.agentVersion ?? null,
        node: this.#record?.nodeVersion ?? null,
      },
      stderrPath: this.#stderr?.path ?? null,
      omitted: [],
      after: this.#after,
    };
  }

  /** The last hang, if it is part of this: one that was over long before is not. */
  #hangOf({ hang }: AgentRecord): Hang | null {
    const wasBlocked = (this.#last?.figures.beatAgeMs ?? 0) >= BLOCKED_MS;
    return this.facts.cause === 'hung' || wasBlocked ? hang : null;
  }

  #noteFurther(cause: FailureCause, detail: string): void {
    const seconds = (this.ageMs / 1_000).toFixed(1);
    if (this.#further.length < MOST_FURTHER) this.#further.push(`${seconds} s later, ${cause}: ${detail}`);
  }

  #findings(): readonly string[] {
    const hang = this.#hang;
    return [
      // The stack of what would let nobody in at first comes later, and says more than what was known at the decision.
      ...(hang === null || this.facts.detail.startsWith(hang.detail) ? [] : [hang.detail]),
      ...findings({
        hasAgent: this.#record !== null,
        last: this.#last,
        stderr: this.#stderr?.text ?? null,
        ended: this.#facts.decision.by === 'exit',
      }),
      ...this.#further,
    ];
  }

  #takeFigures({ figures }: AgentRecord): void {
    const newest = this.#inside.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY;
    for (const each of figures) {
      if (each.atMs <= newest) continue;
      if (each.atMs <= this.decidedAtMs) this.#last = { figures: each, ageMs: this.decidedAtMs - each.atMs };
      if (this.#lines() < MOST_LINES) this.#inside.push(each);
    }
  }

  #takeAttachment(
    record: AgentRecord,
    before: AgentRecord | null,
    kind: 'report' | 'heap-profile',
    freshMs: number,
  ): boolean {
    const newest = record.attachments.findLast((attachment) => attachment.kind === kind);
    const known = before?.attachments.findLast((attachment) => attachment.kind === kind);
    if (newest === undefined || newest.atWallMs === known?.atWallMs) return false;
    if (this.#decidedWallMs - newest.atWallMs > freshMs) return false;
    this.#note(kind === 'report' ? 'report' : 'heapProfile', newest.content);
    return true;
  }

  #note(piece: keyof BlackBoxPieces, content: unknown): void {
    if (content !== null && content !== '') this.#new = { ...this.#new, [piece]: content };
  }

  #lines(): number {
    return this.#inside.length + this.#outside.length;
  }

  #figures(): readonly FiguresLine[] {
    const inside = this.#inside.map(({ atMs, ...rest }) => ({
      atMs,
      line: { from: 'agent', ...rest } as const,
    }));
    const outside = this.#outside.map(({ atMs, ...rest }) => ({
      atMs,
      line: { from: 'supervisor', ...rest } as const,
    }));
    return [...inside, ...outside]
      .sort((a, b) => a.atMs - b.atMs)
      .map(({ atMs, line }) => ({ at: this.#wall(atMs), ...line }));
  }

  #wall(atMs: number): string {
    return new Date(Math.round(this.#decidedWallMs + (atMs - this.decidedAtMs))).toISOString();
  }

  #whose(): string {
    const { service, pmId, pid, port, at } = this.facts;
    return `${service} pm ${pmId} (pid ${pid ?? 'unknown'}, port ${port ?? 'none'}), ${at}`;
  }
}
