/** What agents have said, by instance: also for a while after its end, because that is when somebody asks. */
import type { AgentAttachment, AgentRecord } from '../../domain/agents/agent.js';
import { instanceKey } from '../../domain/model.js';
import type { InstanceId } from '../../domain/model.js';
import { AgentMemory } from './agentMemory.js';

const KEPT_AFTER_END_MS = 5 * 60_000;
const MOST_OF_ENDED = 100;
/** Instances that hold attachments, one of each kind: a report is some ten kilobytes, a profile a hundred. */
const MOST_WITH_ATTACHMENTS = 32;

interface Entry {
  readonly memory: AgentMemory;
  /** null while it runs. */
  endedAtMs: number | null;
}

export class AgentRecords {
  readonly #entries = new Map<string, Entry>();
  /** Who holds attachments; whoever attached last comes last. */
  readonly #attached = new Set<AgentMemory>();

  /** That of an instance; a new one when nothing was said of it before. */
  of(id: InstanceId): AgentMemory {
    const key = instanceKey(id);
    const entry = this.#entries.get(key) ?? { memory: new AgentMemory(id), endedAtMs: null };
    this.#entries.set(key, entry);
    return entry.memory;
  }

  record(id: InstanceId): AgentRecord | null {
    return this.#entries.get(instanceKey(id))?.memory.record() ?? null;
  }

  attach(memory: AgentMemory, attachment: AgentAttachment): void {
    memory.attach(attachment);
    this.#attached.delete(memory);
    this.#attached.add(memory);
    const [oldest] = this.#attached;
    if (this.#attached.size <= MOST_WITH_ATTACHMENTS || oldest === undefined) return;
    this.#attached.delete(oldest);
    oldest.dropAttachments();
  }

  /** @param running keys of the instances that PM2 lists with a process. */
  forgetEnded(running: ReadonlySet<string>, nowMs: number): void {
    const ended: string[] = [];
    for (const [key, entry] of this.#entries) {
      if (running.has(key)) continue;
      entry.endedAtMs ??= nowMs;
      if (nowMs - entry.endedAtMs >= KEPT_AFTER_END_MS) this.#entries.delete(key);
      else ended.push(key);
    }
    for (const key of ended.slice(0, Math.max(0, ended.length - MOST_OF_ENDED))) this.#entries.delete(key);
  }
}
