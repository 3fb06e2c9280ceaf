/**
 * A supervisor and the service `troubled` (apps/troubled.cjs) with agents, as people deploy their own: an ecosystem file
 * with `defineSupervisor` and `withAgent`, a PM2 of its own, no gateway.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { InstanceRef } from '../../backend/src/domain/model.js';
import type { InstanceView, ServiceView } from '../../backend/src/domain/views/serviceView.js';
import type { MetricsView, StatusView } from '../../backend/src/domain/views/controlPlane.js';
import { repository } from './deployment.js';
import { createPm2Home, type Pm2Home } from './pm2.js';
import { freePortRange } from './ports.js';
import { Traffic } from './traffic.js';
import { waitFor } from './waitFor.js';

export const TROUBLED = 'troubled';
const app = fileURLToPath(new URL('./apps/troubled.cjs', import.meta.url));
const PORTS = 24;

export interface EventEntry {
  readonly seq: number;
  readonly type: string;
  readonly at: string;
  readonly data: Readonly<Record<string, unknown>> & { readonly instance?: InstanceRef };
}

export interface TroubleOptions {
  readonly instances: number;
  readonly mode?: 'cluster' | 'fork';
  readonly settings?: Readonly<Record<string, string>>;
}

export class TroubledService {
  readonly pm2: Pm2Home;
  readonly haPort: number;
  readonly #onsets: string;

  private constructor(pm2: Pm2Home, haPort: number) {
    this.pm2 = pm2;
    this.haPort = haPort;
    this.#onsets = join(pm2.home, 'onsets');
  }

  /** Starts it and waits until all serve and their agents speak. */
  static async start({
    instances,
    mode = 'cluster',
    settings = {},
  }: TroubleOptions): Promise<TroubledService> {
    const pm2 = createPm2Home();
    const haPort = await freePortRange(PORTS + 1);
    const it = new TroubledService(pm2, haPort);
    const file = join(pm2.home, 'ecosystem.config.cjs');
    Object.assign(pm2.env, {
      HA_PORT: String(haPort),
      HA_DATA_DIR: join(pm2.home, 'data'),
      HA_LOG_DIR: it.logDir,
      HA_CONFIG: join(pm2.home, 'config.yml'),
      PORT_COUNT: String(PORTS),
      AUTOSCALE: 'false',
      MIN_INSTANCES: String(instances),
      ...settings,
    });
    writeFileSync(pm2.env['HA_CONFIG']!, '');
    const service = {
      name: TROUBLED,
      script: app,
      cwd: pm2.home,
      exec_mode: mode,
      instances,
      instance_var: 'HOLDFAST_INSTANCE',
      increment_var: 'PORT',
      port: haPort + 1,
      kill_timeout: Number(settings['KILL_TIMEOUT'] ?? 10_000),
      filter_env: [''],
      env: { ONSETS: it.#onsets, ...(mode === 'fork' ? { PORT: haPort + 1 } : {}) },
    };
    const library = JSON.stringify(join(repository, 'backend/ecosystem.cjs'));
    writeFileSync(
      file,
      `const { defineSupervisor, withAgent } = require(${library});\n` +
        `module.exports = { apps: [defineSupervisor({ file: __filename }), withAgent(${JSON.stringify(service)})] };\n`,
    );
    await pm2.pm2('start', file);
    await it.untilWhole(instances);
    return it;
  }

  /**
   * Two instances under traffic, and as many failures as a campaign needs: budgets and pauses are out of its way.
   * Whoever starts it ends both.
   */
  static async underTraffic(
    settings: Readonly<Record<string, string>>,
  ): Promise<{ readonly service: TroubledService; readonly traffic: Traffic }> {
    const service = await TroubledService.start({
      instances: 2,
      settings: { MAX_RESTART_ATTEMPTS: '1000', RESTART_BACKOFF: '0', STABLE_PERIOD: '500', ...settings },
    });
    const traffic = await Traffic.start({
      haPort: service.haPort,
      service: TROUBLED,
      path: '/work?ms=100',
      timeoutMs: 8_000,
    });
    return { service, traffic };
  }

  get logDir(): string {
    return join(this.pm2.home, 'ha-logs');
  }

  get socket(): string {
    return join(this.pm2.home, 'data/run/agents.sock');
  }

  async get<T>(path: string): Promise<T> {
    const url = `http://127.0.0.1:${this.haPort}/api/ha/${path}`;
    return ((await (await fetch(url)).json()) as { data: T }).data;
  }

  async service(): Promise<ServiceView> {
    const { services } = await this.get<StatusView>('status');
    const service = services.find(({ name }) => name === TROUBLED);
    if (service === undefined) throw new Error('it is not supervised');
    return service;
  }

  async metrics(): Promise<MetricsView> {
    return this.get<MetricsView>('metrics');
  }

  /** Instances that serve, their agents connected. */
  async well(): Promise<readonly InstanceView[]> {
    const { instances } = await this.service();
    return instances.filter(({ serving, agent }) => serving && agent === 'connected');
  }

  /** Waits until so many serve, their agents speak, and nothing else is left. */
  async untilWhole(count: number): Promise<readonly InstanceView[]> {
    return waitFor(
      async () => {
        const { instances, state, reason } = await this.service();
        const well = await this.well();
        if (instances.length === count && well.length === count && state === 'healthy') return well;
        throw new Error(`${well.length} well of ${instances.length}, ${state}: ${reason}`);
      },
      { what: `${count} instances and their agents`, deadlineMs: 40_000, intervalMs: 50 },
    );
  }

  async events(sinceSeq = 0): Promise<readonly EventEntry[]> {
    const { events } = await this.get<{ events: readonly EventEntry[] }>('events?limit=1000');
    return events.filter(({ seq }) => seq > sinceSeq);
  }

  async lastSeq(): Promise<number> {
    return (await this.events()).at(-1)?.seq ?? 0;
  }

  /** Waits for an event of that type after `sinceSeq`. */
  async event(
    type: string,
    sinceSeq: number,
    which: (event: EventEntry) => boolean = () => true,
    deadlineMs = 15_000,
  ): Promise<EventEntry> {
    return waitFor(
      async () => {
        const events = await this.events(sinceSeq);
        const found = events.find((event) => event.type === type && which(event));
        if (found === undefined) throw new Error(events.map((event) => event.type).join(' '));
        return found;
      },
      { what: type, deadlineMs, intervalMs: 40 },
    );
  }

  async trouble({ port }: InstanceView, kind: string, ms = 60_000): Promise<void> {
    const url = `http://127.0.0.1:${port}/trouble?kind=${kind}&ms=${ms}`;
    await (await fetch(url, { method: 'POST', signal: AbortSignal.timeout(5_000) })).text();
  }

  /** When (wall clock) the trouble of that process began. */
  async onset(pid: number | null): Promise<number> {
    return waitFor(
      () => {
        const lines = existsSync(this.#onsets) ? readFileSync(this.#onsets, 'utf8').split('\n') : [];
        return Number(lines.find((line) => line.startsWith(`${pid} `))?.split(' ')[1] ?? 0);
      },
      { what: 'the trouble to begin' },
    );
  }

  supervisorLog(): string {
    return readFileSync(join(this.logDir, 'ha-supervisor.log'), 'utf8');
  }

  async dispose(): Promise<void> {
    await this.pm2.dispose();
  }
}
