/**
 * The black box: what remains of an instance that had to be replaced, or that died by its own fault. One entry per
 * decision, a folder of files that say what was decided, why, what was known at that moment, and what came of it.
 *
 * Room is limited, and a crash loop must not push out the one entry that explains last night: entries belong to groups
 * (a service and a cause), and whenever there are too many the group that has the most gives up its oldest (max-min
 * fairness). So an entry can only be lost to its own like, until its like have become as few as all others.
 */
import type { AgentFigures } from '../agents/agent.js';
import type { EventRecord } from '../events.js';
import type { FailureCause, InstanceId } from '../model.js';

/** What came of it. `null` in a summary: not known yet, or the supervisor ended before it was. */
export type BlackBoxOutcome =
  /** Another number took its place. Times are since the decision. */
  | {
      readonly kind: 'replaced';
      readonly byPmId: number;
      readonly servingAfterMs: number;
      readonly endedAfterMs: number;
    }
  /** PM2 started it again under the same number, and it serves. */
  | { readonly kind: 'restarted'; readonly servingAfterMs: number }
  /** The same process was found fit again before anything was done to it. */
  | { readonly kind: 'recovered'; readonly afterMs: number }
  /** Its budget is spent: nothing takes its place until a trial or a reset. */
  | { readonly kind: 'quarantined'; readonly afterMs: number }
  /** It ended, and nothing took its place while it was watched. */
  | { readonly kind: 'ended'; readonly afterMs: number }
  /** Nothing of the above within the time that it was watched. */
  | { readonly kind: 'unsettled'; readonly watchedMs: number };

/** Figures that the supervisor took of a process from outside. */
export interface OutsideFigures {
  /** Clock.nowMs(). */
  readonly atMs: number;
  readonly cpuPercent: number | null;
  readonly memoryBytes: number | null;
}

/** `figures.jsonl`, a line each, oldest first. */
export type FiguresLine = { readonly at: string } & (
  | ({ readonly from: 'agent' } & Omit<AgentFigures, 'atMs'>)
  | ({ readonly from: 'supervisor' } & Omit<OutsideFigures, 'atMs'>)
);

/** `summary.json`. Times are ISO 8601, UTC. */
export interface BlackBoxSummary {
  readonly version: 1;
  readonly id: string;
  readonly service: string;
  readonly pmId: number;
  readonly pid: number | null;
  readonly port: number | null;
  readonly startedAt: string;
  /** When the decision fell. */
  readonly at: string;
  readonly ranMs: number;
  readonly cause: FailureCause;
  readonly detail: string;
  /** What else the pieces say, one sentence each. */
  readonly findings: readonly string[];
  readonly decision: {
    /** `unfit`: judged while it ran. `exit`: it had ended by itself. */
    readonly by: 'unfit' | 'exit';
    readonly exitCode: number | null;
    readonly signal: string | null;
    readonly lastProbe: { readonly at: string; readonly ok: boolean; readonly detail: string } | null;
    /** Failures charged within the window before this one, and how many are allowed. */
    readonly attemptsUsed: number;
    readonly attemptsMax: number;
    readonly desired: number;
    /** How many of the service serve without it. */
    readonly serving: number;
  };
  readonly outcome: BlackBoxOutcome | null;
  /** Where it was blocked; the stack is in stack.txt. */
  readonly hang: {
    readonly silentMs: number;
    readonly where: 'javascript' | 'native' | 'unknown';
    readonly detail: string;
    readonly requests: readonly { readonly method: string; readonly path: string; readonly ageMs: number }[];
  } | null;
  readonly versions: {
    readonly holdfast: string;
    readonly agent: string | null;
    /** Of the instance; null where no agent said so. */
    readonly node: string | null;
  };
  /** Where PM2 writes its stderr, the end of which is in stderr.log. */
  readonly stderrPath: string | null;
  /** Files that could not be written, and why. */
  readonly omitted: readonly { readonly file: BlackBoxFile; readonly why: string }[];
  /** Last events of the service before the decision, newest last. */
  readonly before: readonly EventRecord[];
  /** Events of the service since then, until the outcome. */
  readonly after: readonly EventRecord[];
}

/** In the order of their writing: small ones first, so that a disk that is nearly full loses the big ones. */
export const BLACK_BOX_FILES = [
  'summary.json',
  'stack.txt',
  'stderr.log',
  'figures.jsonl',
  'report.json',
  'heap.heapprofile',
] as const;

export type BlackBoxFile = (typeof BLACK_BOX_FILES)[number];

/** As the list shows it. */
export interface BlackBoxEntry {
  readonly id: string;
  readonly service: string;
  readonly pmId: number;
  readonly at: string;
  readonly cause: FailureCause;
  readonly detail: string;
  readonly outcome: BlackBoxOutcome['kind'] | null;
  readonly bytes: number;
  readonly files: readonly { readonly name: BlackBoxFile; readonly bytes: number }[];
}

const LONGEST_NAME = 80;

/** Name of the folder: `<service>-<pmId>-<time>`, of letters, digits, `.`, `_` and `-` only, whatever the service's name. */
export function blackBoxId({ service, pmId }: InstanceId, at: string): string {
  const name = service
    .replace(/[^A-Za-z0-9._-]+/g, '_')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, LONGEST_NAME);
  return `${name === '' ? 'service' : name}-${pmId}-${at.replaceAll(':', '-')}`;
}

/** Names that entries can have: what comes from outside never becomes a path otherwise. */
export const BLACK_BOX_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,149}$/;

export function isBlackBoxId(text: string): boolean {
  return BLACK_BOX_ID.test(text);
}

type Kept = Pick<BlackBoxEntry, 'id' | 'service' | 'cause' | 'at' | 'bytes'>;

/**
 * Which entries must go for the rest to be within both limits, in that order.
 * @param spared the id of one that stays whatever happens: it is being written.
 */
export function surplusEntries(
  entries: readonly Kept[],
  limits: { readonly mostEntries: number; readonly mostBytes: number },
  spared: string | null,
): readonly string[] {
  const gone: string[] = [];
  const groups = new Map<string, Kept[]>();
  for (const entry of [...entries].sort((a, b) => a.at.localeCompare(b.at))) {
    const key = JSON.stringify([entry.service, entry.cause]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [entry]);
    else group.push(entry);
  }
  let count = entries.length;
  let bytes = total(entries);
  while (count > limits.mostEntries || bytes > limits.mostBytes) {
    const weigh = count > limits.mostEntries ? (group: readonly Kept[]) => group.length : total;
    const found = oldestOfLargest([...groups.values()], weigh, spared);
    if (found === null) break;
    const { group, victim } = found;
    group.splice(group.indexOf(victim), 1);
    gone.push(victim.id);
    count -= 1;
    bytes -= victim.bytes;
  }
  return gone;
}

function total(entries: readonly Kept[]): number {
  return entries.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Of groups that weigh the same, the one whose oldest entry is the oldest. */
function oldestOfLargest(
  groups: readonly Kept[][],
  weigh: (group: readonly Kept[]) => number,
  spared: string | null,
): { readonly group: Kept[]; readonly victim: Kept } | null {
  let best: { readonly group: Kept[]; readonly victim: Kept } | null = null;
  for (const group of groups) {
    const victim = group.find(({ id }) => id !== spared);
    if (victim === undefined) continue;
    const heavier = best === null ? 1 : weigh(group) - weigh(best.group);
    if (heavier > 0 || (heavier === 0 && best !== null && victim.at < best.victim.at))
      best = { group, victim };
  }
  return best;
}
