/**
 * What the agent of one instance has said: its figures of the last minute, its last hang, what it attached. Bounded,
 * and kept for a while after the instance's end, because that is when somebody asks.
 */
import type { AgentAttachment, AgentFigures, AgentRecord, Hang } from '../../domain/agents/agent.js';
import { FiguresSeries } from '../../domain/agents/figuresSeries.js';
import type { InstanceId } from '../../domain/model.js';

export const REMEMBERED_MS = 60_000;
/** Ten a second for a minute. */
const MOST_FIGURES = 600;

export class AgentMemory {
  readonly id: InstanceId;
  #version = { agent: 'unknown', node: 'unknown' };
  readonly #figures = new FiguresSeries(REMEMBERED_MS, MOST_FIGURES);
  readonly #attachments = new Map<AgentAttachment['kind'], AgentAttachment>();
  #hang: Hang | null = null;

  constructor(id: InstanceId) {
    const { service, pmId, startedAtMs } = id;
    this.id = { service, pmId, startedAtMs };
  }

  introduce(version: { readonly agent: string; readonly node: string }): void {
    this.#version = version;
  }

  /** Takes figures in and lets go of those that are older than a minute. */
  push(figures: AgentFigures): void {
    this.#figures.push(figures);
  }

  noteHang(hang: Hang): void {
    // The stack may come in a later message of the same silence, and an empty one must not replace it.
    const isPoorer = this.#hang?.hang === hang.hang && this.#hang.stack.length > 0 && hang.stack.length === 0;
    if (!isPoorer) this.#hang = hang;
  }

  /** The latest of its kind counts. */
  attach(attachment: AgentAttachment): void {
    this.#attachments.set(attachment.kind, attachment);
  }

  dropAttachments(): void {
    this.#attachments.clear();
  }

  get hang(): Hang | null {
    return this.#hang;
  }

  /** The oldest figures that are remembered, and the newest. */
  ends(): readonly [AgentFigures | null, AgentFigures | null] {
    return [this.#figures.oldest(), this.#figures.newest()];
  }

  /** Those after that time, oldest first. */
  since(atMs: number): readonly AgentFigures[] {
    return this.#figures.since(atMs);
  }

  record(): AgentRecord {
    return {
      id: this.id,
      agentVersion: this.#version.agent,
      nodeVersion: this.#version.node,
      figures: this.since(Number.NEGATIVE_INFINITY),
      hang: this.#hang,
      attachments: [...this.#attachments.values()],
    };
  }
}
