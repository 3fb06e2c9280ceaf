/**
 * What happened, told by comparing what the primary knew then with what it knows now: nothing that is shown as a
 * change can differ from what is shown as the state.
 */
import type { GatewaySnapshot, PoolSnapshot, UpstreamSnapshot } from '../../domain/upstreams/pool.js';
import type { TrafficLedger } from '../../domain/statistics/trafficLedger.js';
import { shownState, type GatewayFacts } from './facts.js';

export interface ChangeNote {
  readonly tone: 'good' | 'bad' | 'neutral';
  readonly text: string;
}

/** What is compared: small enough to keep the previous one. */
export interface Scene {
  /** By pool and upstream. */
  readonly upstreams: ReadonlyMap<string, SeenUpstream>;
  readonly algorithms: ReadonlyMap<string, string>;
  readonly workerRestarts: number;
  /** By what they are called; why it does not answer, or null when it does. */
  readonly sources: ReadonlyMap<string, string | null>;
  readonly problems: ReadonlySet<string>;
}

interface SeenUpstream {
  readonly pool: string;
  readonly id: string;
  readonly state: UpstreamSnapshot['state'];
  readonly ejected: boolean;
  /** Its process has been checked. */
  readonly checked: boolean;
  /** Why it is down. */
  readonly detail: string;
}

export function sceneOf(facts: GatewayFacts, ledger: TrafficLedger): Scene {
  return {
    upstreams: new Map(
      seenUpstreams(facts, ledger).map((seen) => [`${seen.pool}\n${seen.id}`, seen] as const),
    ),
    algorithms: new Map(facts.snapshot.pools.map(({ name, algorithm }) => [name, algorithm])),
    workerRestarts: facts.workerRestarts,
    sources: new Map(
      facts.sources.map(({ name, pool, state, detail }) => [
        `${name} for ${pool}`,
        state === 'stale' ? detail : null,
      ]),
    ),
    problems: new Set(facts.problems),
  };
}

function seenUpstreams(facts: GatewayFacts, ledger: TrafficLedger): SeenUpstream[] {
  return eachUpstream(facts.snapshot, (pool, upstream) => {
    const { id } = upstream;
    const fact = facts.upstreams.get(id);
    const lastCheck = fact?.lastCheck ?? null;
    return {
      pool: pool.name,
      id,
      state: shownState(upstream, fact),
      ejected: ledger.gauges(pool.name, id).ejectedBy > 0,
      checked: lastCheck !== null,
      detail: fact?.fault ?? lastCheck?.detail ?? '',
    };
  });
}

export function eachUpstream<T>(
  snapshot: GatewaySnapshot,
  map: (pool: PoolSnapshot, upstream: UpstreamSnapshot) => T,
): T[] {
  return snapshot.pools.flatMap((pool) => pool.upstreams.map((upstream) => map(pool, upstream)));
}

/** Everything that differs, upstreams first. */
export function changesBetween(before: Scene, now: Scene): ChangeNote[] {
  return [
    ...upstreamChanges(before, now),
    ...algorithmChanges(before, now),
    ...sourceChanges(before, now),
    ...problemChanges(before, now),
    ...workerChanges(before, now),
  ];
}

function upstreamChanges(before: Scene, now: Scene): ChangeNote[] {
  const notes: ChangeNote[] = [];
  for (const [key, seen] of now.upstreams) {
    const note = upstreamChange(before.upstreams.get(key), seen);
    if (note !== null) notes.push(note);
  }
  for (const [key, { pool, id }] of before.upstreams) {
    if (!now.upstreams.has(key)) notes.push({ tone: 'neutral', text: `${id} left ${pool}` });
  }
  return notes;
}

function upstreamChange(before: SeenUpstream | undefined, now: SeenUpstream): ChangeNote | null {
  const { pool, id, state, detail } = now;
  if (before === undefined) {
    return { tone: state === 'up' ? 'good' : 'neutral', text: `${id} joined ${pool}, ${state}` };
  }
  if (before.state !== state) {
    if (state === 'up') return { tone: 'good', text: `${id} in ${pool} is up` };
    if (state === 'draining')
      return { tone: 'neutral', text: `${id} in ${pool} drains: its source withdrew it` };
    // A new process at the address of one that left.
    if (before.state === 'draining' && !now.checked) {
      return { tone: 'neutral', text: `${id} in ${pool} came back, not checked yet` };
    }
    return { tone: 'bad', text: `${id} in ${pool} is down${detail === '' ? '' : `: ${detail}`}` };
  }
  if (!before.ejected && now.ejected) {
    return { tone: 'bad', text: `${id} in ${pool} was ejected: its traffic failed` };
  }
  if (before.ejected && !now.ejected) return { tone: 'good', text: `${id} in ${pool} takes traffic again` };
  return null;
}

function algorithmChanges(before: Scene, now: Scene): ChangeNote[] {
  return [...now.algorithms].flatMap(([pool, algorithm]) => {
    const was = before.algorithms.get(pool);
    return was === undefined || was === algorithm
      ? []
      : [{ tone: 'neutral' as const, text: `${pool} is balanced by ${algorithm}, no longer by ${was}` }];
  });
}

function sourceChanges(before: Scene, now: Scene): ChangeNote[] {
  return [...now.sources].flatMap(([name, problem]): ChangeNote[] => {
    const was = before.sources.get(name) ?? null;
    if (problem !== null && was === null) {
      const text = `Source ${name} does not answer, its last good answer is kept: ${problem}`;
      return [{ tone: 'bad', text }];
    }
    return problem === null && was !== null ? [{ tone: 'good', text: `Source ${name} answers again` }] : [];
  });
}

function problemChanges(before: Scene, now: Scene): ChangeNote[] {
  return [...now.problems]
    .filter((problem) => !before.problems.has(problem))
    .map((problem) => ({ tone: 'bad', text: problem }));
}

function workerChanges(before: Scene, now: Scene): ChangeNote[] {
  const ended = now.workerRestarts - before.workerRestarts;
  if (ended <= 0) return [];
  const text = ended === 1 ? 'A worker ended and is replaced' : `${ended} workers ended and are replaced`;
  return [{ tone: 'bad', text }];
}
