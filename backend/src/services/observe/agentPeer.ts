/** What is known of one connected agent and of its process, from its connection on to its end. */
import type { AgentFigures, Hang } from '../../domain/agents/agent.js';
import type { Listening } from '../../domain/diagnosis/facts.js';
import type { ManagedProcess } from '../../domain/model.js';
import type { AgentMemory } from './agentMemory.js';

export type Condemned = { readonly cause: 'hung' | 'stopped' | 'stalled'; readonly atMs: number };

/** A connected agent. */
export interface Peer {
  readonly pid: number;
  readonly version: { readonly agent: string; readonly node: string };
  process: ManagedProcess | null;
  /** As PM2 listed it last: after `pm2 reload` the process before is no longer listed, and still finishes its requests. */
  lastListed: ManagedProcess | null;
  /** Of its instance; null while PM2 has not listed it. */
  memory: AgentMemory | null;
  latest: AgentFigures | null;
  /** What it listens on; null before it told. */
  listening: Listening | null;
  /** Heard when we had been held up: judged at the next look, if it is not over by then. */
  unjudged: Hang | null;
  condemned: Condemned | null;
  /** Since when (Clock.nowMs) no request waits there; null: one does. */
  idleSinceMs: number | null;
  /** Number of the hang of which the stack has been told. */
  toldStackOf: number | null;
  /** It was asked to stop; null when it goes on long after it would have been killed. */
  stopping: { readonly sinceMs: number; readonly draining: boolean } | null;
}

/** Nothing is known of it but its version. */
export function newPeer(pid: number, version: Peer['version']): Peer {
  return {
    pid,
    version,
    process: null,
    lastListed: null,
    memory: null,
    latest: null,
    listening: null,
    unjudged: null,
    condemned: null,
    idleSinceMs: null,
    toldStackOf: null,
    stopping: null,
  };
}
