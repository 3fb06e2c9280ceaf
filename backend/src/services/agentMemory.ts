/**
 * What the agent of one instance has said: its figures of the last minute, its last hang, what it attached. Bounded,
 * and kept for a while after the instance's end, because that is when somebody asks.
 */
import type { AgentAttachment, AgentFigures, AgentRecord, Hang } from '../domain/agent.js';
import type { InstanceId } from '../domain/model.js';
import { RingBuffer } from '../lib/ringBuffer.js';

export const REMEMBERED_MS = 60_000;
/** Ten a second for a minute. */
const MOST_FIGURES = 600;

export class AgentMemory {
  readonly id: InstanceId;
  #version = { agent: 'unknown', node: 'unknown' };
  readonly #figures = new RingBuffer<AgentFigures>(MOST_FIGURES);
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
    while ((this.#figures.first()?.atMs ?? Infinity) < figures.atMs - REMEMBERED_MS) this.#figures.shift();
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

  latest(): AgentFigures | null {
    return this.#figures.last() ?? null;
  }

  /** Oldest first. */
  figures(): readonly AgentFigures[] {
    return this.#figures.toArray();
  }

  /** Those after that time, oldest first. */
  since(atMs: number): readonly AgentFigures[] {
    return this.#figures.newest((figures) => figures.atMs > atMs);
  }

  record(): AgentRecord {
    return {
      id: this.id,
      agentVersion: this.#version.agent,
      nodeVersion: this.#version.node,
      figures: this.figures(),
      hang: this.#hang,
      attachments: [...this.#attachments.values()],
    };
  }
}
