/** What a black box says in words. */
import { fatalErrorIn } from '../diagnosis/fatalError.js';
import type { AgentFigures, Hang } from '../agents/agent.js';
import { isHeapFull } from '../failures/failover.js';

/** Older lines are about something else. */
const LAST_LINES = 40;

/** stack.txt: where it was blocked, and the requests that it was busy with. @param whose one line that names it. */
export function stackText(hang: Hang, whose: string): string | null {
  if (hang.stack.length === 0 && hang.requests.length === 0) return null;
  const lines = [whose, hang.detail, ''];
  for (const frame of hang.stack) lines.push(`    at ${frame}`);
  if (hang.requests.length > 0) {
    lines.push(...(hang.stack.length > 0 ? [''] : []), 'Requests that it was busy with, oldest first:');
    for (const { method, path, ageMs } of hang.requests) {
      lines.push(`    ${method} ${path}, for ${seconds(ageMs)}`);
    }
  }
  return lines.join('\n');
}

/**
 * What the pieces say beside the cause, one sentence each.
 * @param known.last the newest figures of the agent before the decision, `ageMs` older than it.
 */
export function findings(known: {
  readonly hasAgent: boolean;
  readonly last: { readonly figures: AgentFigures; readonly ageMs: number } | null;
  readonly stderr: string | null;
  /** Whether it ended by itself: then what it said last may be why. */
  readonly ended: boolean;
}): readonly string[] {
  const { hasAgent, last, stderr, ended } = known;
  const found: string[] = [];
  if (!hasAgent) found.push('no agent was connected: its figures are what was seen from outside');
  if (last !== null) found.push(...fromInside(last.figures, last.ageMs));
  if (stderr !== null && /JavaScript heap out of memory/.test(stderr)) {
    found.push('stderr says that the JavaScript heap ran out of memory');
  } else if (stderr !== null && ended) {
    const error = lastError(stderr);
    if (error !== null) found.push(`the last error on stderr: ${error}`);
  }
  return found;
}

function lastError(stderr: string): string | null {
  const lines = stderr.trimEnd().split('\n').slice(-LAST_LINES);
  return fatalErrorIn(lines)?.headline ?? null;
}

function fromInside(figures: AgentFigures, ageMs: number): string[] {
  const found: string[] = [];
  const { heapUsedBytes, heapLimitBytes, unanswered, oldestUnansweredMs, debugged } = figures;
  const when = `${seconds(Math.max(0, ageMs))} before`;
  const usedBytes = heapUsedBytes ?? 0;
  const limitBytes = heapLimitBytes ?? Infinity;
  if (isHeapFull({ usedBytes, limitBytes })) {
    found.push(
      `the JavaScript heap had ${mebibytes(usedBytes)} of its limit of ${mebibytes(limitBytes)} in use ${when}`,
    );
  }
  if (oldestUnansweredMs !== null && unanswered > 0) {
    const which = unanswered === 1 ? '1 request' : `${unanswered} requests`;
    found.push(`${which} without an answer ${when}, the oldest for ${seconds(oldestUnansweredMs)}`);
  }
  if (debugged) found.push('a debugger was or could have been attached');
  return found;
}

export function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 1024 / 1024)} MB`;
}

function seconds(durationMs: number): string {
  return `${(durationMs / 1000).toFixed(1)} s`;
}
