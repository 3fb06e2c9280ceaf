/**
 * Traffic to every instance that is announced as serving and to no other: what a proxy in front of them would do.
 *
 * Only one kind of loss is set apart: a request on an instance that the test itself killed or hung, until the supervisor
 * withdraws that instance. Without a proxy that tries again elsewhere nothing can save it. (With one, nothing may be
 * lost: the load that goes through the gateway sets nothing apart.)
 */
import { messageOf } from '../../domain/errors.js';
import type { EventRecord } from '../../domain/events.js';
import type { InstanceRef } from '../../domain/model.js';
import type { ServiceView } from '../../domain/views/serviceView.js';
import type { ApiClient } from '../apiClient.js';
import { Load, type Target, type TrafficFigures } from './load.js';

const PATIENCE_MS = 5_000;

export interface TrafficOptions {
  readonly service: string;
  readonly path: string;
  /** null: the service has no fault switches, all requests are quick ones. */
  readonly slowPath: string | null;
}

export class Traffic {
  readonly #options: TrafficOptions;
  readonly #targets = new Map<number, Target>();
  readonly #load: Load;
  readonly #stopFollowing = new AbortController();

  constructor(options: TrafficOptions) {
    this.#options = options;
    this.#load = new Load({
      ...options,
      patienceMs: PATIENCE_MS,
      next: (sent) => [...this.#targets.values()][sent % this.#targets.size],
    });
  }

  /** Follows the announcements, then begins to send. `onLost` is told when the announcements end by themselves. */
  async start(
    api: ApiClient,
    current: () => Promise<ServiceView>,
    onLost: (problem: string) => void,
  ): Promise<void> {
    const events = await api.events(this.#stopFollowing.signal);
    const service = await current();
    for (const { serving, pmId, port } of service.instances) if (serving) this.#announce({ pmId, port });
    void this.#follow(events, onLost);
    this.#load.start();
  }

  /** Stops sending, waits for what is in flight, and lets go of every connection. */
  async stop(): Promise<void> {
    this.#stopFollowing.abort();
    await this.#load.stop();
  }

  /** From now on failures on this instance are the test's own doing, until it is announced anew. */
  condemn(pmId: number): void {
    const target = this.#targets.get(pmId);
    if (target !== undefined) target.isVictim = true;
  }

  /** The figures since the last call. */
  take(): TrafficFigures {
    return this.#load.take();
  }

  async #follow(events: AsyncIterable<EventRecord>, onLost: (problem: string) => void): Promise<void> {
    try {
      for await (const event of events) this.#apply(event);
      if (!this.#stopFollowing.signal.aborted) onLost('the stream of events ended');
    } catch (error) {
      if (!this.#stopFollowing.signal.aborted) onLost(`the stream of events broke: ${messageOf(error)}`);
    }
  }

  #apply({ type, service, data }: EventRecord): void {
    if (service !== this.#options.service || !('instance' in data)) return;
    if (type === 'instance.serving') this.#announce(data.instance);
    else if (type === 'instance.withdrawn' || type === 'instance.exited' || type === 'instance.stopped') {
      this.#targets.delete(data.instance.pmId);
    }
  }

  #announce({ pmId, port }: Pick<InstanceRef, 'pmId' | 'port'>): void {
    if (port === null) return;
    const name = `#${pmId} (port ${port})`;
    this.#targets.set(pmId, { name, host: '127.0.0.1', port, isVictim: false });
  }
}
