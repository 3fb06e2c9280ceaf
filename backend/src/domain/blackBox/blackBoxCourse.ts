/**
 * What followed a decision, read from the events of the service, until it is known what came of it.
 *
 *   condemned ──its replacement serves, and it has ended──▶ replaced
 *      │  └────the same process serves again───────────────▶ recovered
 *      ├──it ended, PM2 started it again, and that serves──▶ restarted
 *      ├──its budget is spent──────────────────────────────▶ quarantined
 *      └──none of it in time───────────────────────────────▶ ended, unsettled
 */
import type { BlackBoxOutcome } from './blackBox.js';
import type { EventMap, EventRecord, EventType } from '../events.js';

/** Whom it is about. */
export interface Subject {
  readonly pmId: number;
  readonly pid: number | null;
  /** Of the decision; events of a failed trial name nothing else. */
  readonly detail: string;
}

export interface Course {
  readonly subject: Subject;
  /** Since the decision; null while it runs. */
  readonly endedAfterMs: number | null;
  readonly successor: { readonly pmId: number; readonly servingAfterMs: number | null } | null;
  readonly outcome: BlackBoxOutcome | null;
}

/** @param ended whether it had ended already when the decision fell. */
export function beginCourse(subject: Subject, ended: boolean): Course {
  return { subject, endedAfterMs: ended ? 0 : null, successor: null, outcome: null };
}

/** @param event of the same service. @param afterMs since the decision. */
export function followed(course: Course, event: EventRecord, afterMs: number): Course {
  if (course.outcome !== null) return course;
  const { subject } = course;
  if (is(event, 'instance.started')) {
    const { replaces, instance } = event.data;
    // Whoever is started without a word of whom it replaces fills a gap: ours, when there is one.
    const isOurs = replaces === undefined ? course.endedAfterMs !== null : replaces === subject.pmId;
    if (!isOurs || course.successor !== null) return course;
    return { ...course, successor: { pmId: instance.pmId, servingAfterMs: null } };
  }
  if (is(event, 'instance.serving')) return served(course, event.data.instance, afterMs);
  if (is(event, 'instance.exited') || is(event, 'instance.stopped')) {
    const { pmId, pid } = event.data.instance;
    const isIt = pmId === subject.pmId && (pid === null || subject.pid === null || pid === subject.pid);
    if (!isIt || course.endedAfterMs !== null) return course;
    return concluded({ ...course, endedAfterMs: afterMs });
  }
  if (is(event, 'instance.quarantined') && event.data.instance.pmId === subject.pmId) {
    return { ...course, outcome: { kind: 'quarantined', afterMs } };
  }
  if (is(event, 'service.trialFailed') && event.data.detail === subject.detail) {
    return { ...course, outcome: { kind: 'quarantined', afterMs } };
  }
  return course;
}

/** Nobody watches any longer. */
export function givenUp(course: Course, afterMs: number): BlackBoxOutcome {
  if (course.outcome !== null) return course.outcome;
  if (course.endedAfterMs === null) return { kind: 'unsettled', watchedMs: afterMs };
  return { kind: 'ended', afterMs: course.endedAfterMs };
}

function served(
  course: Course,
  { pmId, pid }: { pmId: number; pid: number | null },
  afterMs: number,
): Course {
  const { subject, successor, endedAfterMs } = course;
  if (pmId === successor?.pmId) {
    return concluded({ ...course, successor: { pmId, servingAfterMs: successor.servingAfterMs ?? afterMs } });
  }
  if (pmId !== subject.pmId) return course;
  const isSame = endedAfterMs === null && pid === subject.pid;
  return {
    ...course,
    outcome: isSame ? { kind: 'recovered', afterMs } : { kind: 'restarted', servingAfterMs: afterMs },
  };
}

function concluded(course: Course): Course {
  const { successor, endedAfterMs } = course;
  if (successor?.servingAfterMs == null || endedAfterMs === null) return course;
  const { pmId: byPmId, servingAfterMs } = successor;
  return { ...course, outcome: { kind: 'replaced', byPmId, servingAfterMs, endedAfterMs } };
}

function is<T extends EventType>(
  event: EventRecord,
  type: T,
): event is EventRecord<T> & { data: EventMap[T] } {
  return event.type === type;
}
