/**
 * Group messages between instances through Redis publish/subscribe: one channel per group that somebody on this
 * instance listens to. Redis keeps nothing for the absent, so what is published while the connection is down is
 * lost for the other instances (and counted), never queued. After a reconnect every joined group is subscribed
 * again. Two connections, because one that subscribes cannot publish.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Log } from '../lib/log.js';
import { Outage } from '../lib/outage.js';
import type { GroupBus } from './groupBus.js';

const PREFIX = 'wordpecker:group:';
const CONNECT_TIMEOUT_MS = 3000;
const COMMAND_TIMEOUT_MS = 1500;
const MAX_RECONNECT_DELAY_MS = 2000;

interface Envelope {
  /** Which instance sent it: its own subscribers have the message already. */
  readonly from: string;
  readonly data: unknown;
}

interface Connections {
  readonly publisher: Redis;
  readonly subscriber: Redis;
}

export class RedisBus implements GroupBus {
  readonly #url: string;
  readonly #id = randomUUID();
  readonly #outage: Outage;
  /** Joined groups, each with its pending or done subscription. */
  readonly #groups = new Map<string, Promise<void>>();
  #connections: Promise<Connections> | null = null;
  #publisher: Redis | null = null;
  #subscriber: Redis | null = null;
  #listener: (group: string, data: unknown) => void = () => undefined;
  #dropped = 0;

  constructor(url: string, log: Log) {
    this.#url = url;
    this.#outage = new Outage('Redis', log);
  }

  get dropped(): number {
    return this.#dropped;
  }

  /** Begins to connect; reconnects for ever. Resolves when the driver is loaded, connected or not. */
  async connect(): Promise<void> {
    this.#connections ??= this.#open();
    const { publisher, subscriber } = await this.#connections;
    this.#publisher = publisher;
    this.#subscriber = subscriber;
  }

  onMessage(listener: (group: string, data: unknown) => void): void {
    this.#listener = listener;
  }

  async ping(): Promise<boolean> {
    try {
      if (!this.#connected()) return false;
      await this.#publisher?.ping(); // a server that is frozen keeps its connections
      return true;
    } catch {
      return false;
    }
  }

  join(group: string): Promise<void> {
    const joined = this.#groups.get(group);
    if (joined !== undefined) return joined;
    // Not ready: the subscriber's 'ready' handler takes all groups.
    const subscriber = this.#subscriber?.status === 'ready' ? this.#subscriber : null;
    const joining = subscriber === null ? Promise.resolve() : this.#subscribe(subscriber, [group]);
    this.#groups.set(group, joining);
    return joining;
  }

  leave(group: string): void {
    this.#groups.delete(group);
    if (this.#subscriber?.status !== 'ready') return;
    this.#subscriber.unsubscribe(PREFIX + group).catch((error: unknown) => this.#outage.failed(error));
  }

  async publish(group: string, data: unknown): Promise<boolean> {
    try {
      if (this.#publisher?.status !== 'ready') throw new Error('not connected');
      const envelope: Envelope = { from: this.#id, data };
      await this.#publisher.publish(PREFIX + group, JSON.stringify(envelope));
      return true;
    } catch {
      this.#dropped += 1;
      return false;
    }
  }

  async close(): Promise<void> {
    const connections = await this.#connections;
    this.#connections = null;
    connections?.publisher.disconnect();
    connections?.subscriber.disconnect();
  }

  async #open(): Promise<Connections> {
    // Loaded when first needed: a service without Redis never pays for it.
    const { Redis } = await import('ioredis');
    const connect = (): Redis => {
      const redis = new Redis(this.#url, {
        connectTimeout: CONNECT_TIMEOUT_MS,
        commandTimeout: COMMAND_TIMEOUT_MS,
        enableOfflineQueue: false,
        autoResubscribe: false,
        maxRetriesPerRequest: 0,
        retryStrategy: (attempt) => Math.min(MAX_RECONNECT_DELAY_MS, 50 * 2 ** Math.min(attempt, 10)),
      });
      redis.on('error', (error: Error) => this.#outage.failed(error));
      redis.on('close', () => this.#outage.failed(new Error('the connection closed')));
      redis.on('ready', () => {
        if (this.#connected()) this.#outage.works();
      });
      return redis;
    };
    const subscriber = connect();
    subscriber.on('ready', () => void this.#subscribe(subscriber, [...this.#groups.keys()]));
    subscriber.on('message', (channel: string, text: string) => this.#receive(channel, text));
    return { publisher: connect(), subscriber };
  }

  #connected(): boolean {
    return this.#publisher?.status === 'ready' && this.#subscriber?.status === 'ready';
  }

  async #subscribe(subscriber: Redis, groups: readonly string[]): Promise<void> {
    if (groups.length === 0) return;
    try {
      await subscriber.subscribe(...groups.map((group) => PREFIX + group));
    } catch (error) {
      this.#outage.failed(error);
      // Half subscribed is worse than not connected: start over, 'ready' subscribes to everything again.
      subscriber.disconnect(true);
    }
  }

  #receive(channel: string, text: string): void {
    let envelope: Envelope;
    try {
      envelope = JSON.parse(text) as Envelope;
    } catch {
      this.#dropped += 1; // a stranger published on our channel
      return;
    }
    if (envelope.from !== this.#id) this.#listener(channel.slice(PREFIX.length), envelope.data);
  }
}
