/** A gateway that never has an end of the requests under way: what drains does so for as long as it may. */
import type { World } from './world.js';

const REPORT_MS = 500;

export class BusyGateway {
  readonly #world: World;
  #closed = false;

  constructor(world: World) {
    this.#world = world;
    this.#report();
  }

  close(): void {
    this.#closed = true;
  }

  #report(): void {
    const { pm2, ha, clock, policies } = this.#world;
    if (this.#closed) return;
    const upstreams = policies.flatMap(({ name }) =>
      pm2.alive(name).map(({ port }) => ({
        host: '127.0.0.1',
        port,
        state: 'draining' as const,
        inFlight: 1,
        drained: false,
        throughputPerSecond: 1,
        errorRate: 0,
        responseTimeMs: null,
      })),
    );
    ha.reportTraffic({ gateway: 'busy:1', workers: 1, leaving: false, upstreams }, true);
    clock.after(REPORT_MS, () => this.#report());
  }
}
