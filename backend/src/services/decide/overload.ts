/**
 * A probe waits in the same queue as everybody. Where all instances of a service have more to do than they can, probes
 * come too late, and a supervisor that believed them would end one busy instance after the other: less capacity, longer
 * queues, more late probes. So a late probe of an overloaded instance is shown and not counted.
 *
 * Overloaded is an instance whose event loop is saturated and whose requests finish, as its agent tells, and whose
 * siblings are as busy, newcomers aside: what waits at the others does not move to them, and their share comes gradually.
 * One that is alone in it has a problem of its own, and its probes count; so do those that answer with an error. A main
 * thread that is blocked, or requests of which none finishes, are the agent's to report.
 */
import type { AgentFigures } from '../../domain/agents/agent.js';
import { isSaturated } from '../../domain/scaling/backlog.js';
import { sameInstance, type ManagedProcess } from '../../domain/model.js';
import type { AgentWatch } from '../observe/agentWatch.js';
import type { SupervisedService } from '../service/supervisedService.js';

/** Within this time at least one request must have finished. */
const FINISHED_WITHIN_MS = 5_000;
/** How long an instance is a newcomer: three times the default of `lbSlowStart`. */
const NEWCOMER_MS = 30_000;
/** How far back agents are remembered. */
const REMEMBERED_MS = 60_000;

type Agents = Pick<AgentWatch, 'figuresSince'>;

/** Siblings are those that serve; without an agent one can't tell and does not matter. */
export function isOverloaded(
  instance: ManagedProcess,
  { services, agents }: { services: ReadonlyMap<string, Pick<SupervisedService, 'serving'>>; agents: Agents },
  nowMs: number,
): boolean {
  const siblings = services.get(instance.service)?.serving() ?? [];
  const recent = (one: ManagedProcess): readonly AgentFigures[] =>
    figuresSince(one, agents, nowMs - FINISHED_WITHIN_MS);
  const figures = recent(instance);
  const finished = (figures.at(-1)?.finished ?? 0) - (figures[0]?.finished ?? 0);
  if (isSaturated(figures, nowMs) !== true || finished <= 0) return false;
  return siblings.every(
    (other) =>
      sameInstance(other, instance) ||
      isSaturated(recent(other), nowMs) !== false ||
      isNewcomer(other, agents, nowMs),
  );
}

function isNewcomer(instance: ManagedProcess, agents: Agents, nowMs: number): boolean {
  const [first] = figuresSince(instance, agents, nowMs - REMEMBERED_MS);
  return first !== undefined && first.atMs > nowMs - NEWCOMER_MS;
}

function figuresSince({ pid }: ManagedProcess, agents: Agents, sinceMs: number): readonly AgentFigures[] {
  return pid === null ? [] : agents.figuresSince(pid, sinceMs);
}
