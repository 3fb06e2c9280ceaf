/**
 * A deployment as users run it (`pm2 start ecosystem.cluster.config.js --env production`), with its own
 * PM2 home, ports, data and logs, faults enabled, and quick settings where a test would otherwise wait for minutes.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { OperationReport } from '../../backend/src/domain/model.js';
import type { InstanceView, ServiceView } from '../../backend/src/domain/views/serviceView.js';
import type {
  FailoverView,
  HealthView,
  LoadBalancerView,
  MetricsView,
  StatusView,
} from '../../backend/src/domain/views/controlPlane.js';
import { createPm2Home, type Pm2Home } from './pm2.js';
import { freePortRange } from './ports.js';
import { waitFor } from './waitFor.js';

export const repository = fileURLToPath(new URL('../..', import.meta.url));
export const BACKEND = 'wordpecker-backend';
export const FRONTEND = 'wordpecker-frontend';

const RANGE = 24;

interface EventEntry {
  readonly seq: number;
  readonly type: string;
  readonly at: string;
  readonly service: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface Answer<T> {
  readonly status: number;
  readonly data: T;
  readonly error: { readonly code: string; readonly message: string } | undefined;
}

/** What `FAULT_FILE` tells the next start of an instance (examples/wordpecker/README.md). */
export type NextStart = Readonly<Record<string, string | number>>;

/** Settings of a deployment that is rolled again and again: no waiting longer than it takes. */
export const QUICK_ROLLS = {
  AUTOSCALE: 'false',
  STABLE_PERIOD: '300',
  CANARY_PERIOD: '300',
  DRAIN_GRACE: '100',
} as const;

export class Deployment {
  readonly pm2: Pm2Home;
  readonly haPort: number;
  readonly backendPort: number;
  readonly gatewayPort: number;
  readonly env: Record<string, string>;
  readonly #faultFile: string;

  private constructor(pm2: Pm2Home, haPort: number, settings: Readonly<Record<string, string>>) {
    this.pm2 = pm2;
    this.haPort = haPort;
    this.backendPort = haPort + 1;
    this.gatewayPort = haPort + 1 + 2 * RANGE;
    this.#faultFile = join(pm2.home, 'next-start.json');
    writeFileSync(this.#faultFile, '{}');
    mkdirSync(this.logDir, { recursive: true });
    this.env = {
      ...pm2.env,
      HA_PORT: String(haPort),
      BALANCER_PORT: String(this.gatewayPort),
      GATEWAY_WORKERS: '2',
      START_PORT: String(this.backendPort),
      FRONTEND_START_PORT: String(this.backendPort + RANGE),
      PORT_COUNT: String(RANGE),
      HA_DATA_DIR: join(pm2.home, 'data'),
      HA_LOG_DIR: this.logDir,
      HA_CONFIG: join(pm2.home, 'config.yml'),
      ENABLE_FAULTS: 'true',
      FAULT_FILE: this.#faultFile,
      ...settings,
    };
    if (settings['HA_CONFIG'] === undefined) writeFileSync(this.env['HA_CONFIG']!, '');
  }

  /** Starts it and waits until everything serves. `settings`: as in the environment (SPEC 4, 5). */
  static async start(
    settings: Readonly<Record<string, string>> = {},
    ecosystem = 'ecosystem.cluster.config.js',
    deadlineMs = 30_000,
  ): Promise<Deployment> {
    const pm2 = createPm2Home();
    const haPort = await freePortRange(2 + 2 * RANGE);
    const deployment = new Deployment(pm2, haPort, settings);
    Object.assign(pm2.env, deployment.env);
    try {
      await deployment.up(ecosystem, deadlineMs);
    } catch (error) {
      // The test has nothing yet that it could dispose of.
      await deployment.dispose();
      throw error;
    }
    return deployment;
  }

  async up(ecosystem: string, deadlineMs = 30_000): Promise<void> {
    await this.pm2.pm2('start', join(repository, ecosystem), '--env', 'production');
    await this.until(
      'everything serves',
      (status) => status.services.every(({ state }) => state === 'healthy'),
      deadlineMs,
    );
    await waitFor(async () => (await fetch(`http://127.0.0.1:${this.gatewayPort}/health`)).ok, {
      what: 'the gateway to answer',
      deadlineMs: 20_000,
    });
  }

  get logDir(): string {
    return join(this.pm2.home, 'ha-logs');
  }

  async dispose(): Promise<void> {
    await this.pm2.dispose();
  }

  /** What every start from now on does. */
  nextStarts(behaviour: NextStart): void {
    writeFileSync(this.#faultFile, JSON.stringify(behaviour));
  }

  async get<T>(path: string): Promise<Answer<T>> {
    return this.#call<T>(path, { method: 'GET' });
  }

  async post<T = OperationReport>(path: string, body: unknown = {}): Promise<Answer<T>> {
    return this.#call<T>(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  }

  async #call<T>(path: string, init: RequestInit): Promise<Answer<T>> {
    const token = this.env['HA_API_TOKEN'];
    const answer = await fetch(`http://127.0.0.1:${this.haPort}/api/ha/${path}`, {
      ...init,
      headers: { ...init.headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
      signal: AbortSignal.timeout(120_000),
    });
    const { data, error } = (await answer.json()) as { data: T; error?: { code: string; message: string } };
    return { status: answer.status, data, error };
  }

  async status(): Promise<StatusView> {
    return (await this.get<StatusView>('status')).data;
  }

  async service(name = BACKEND): Promise<ServiceView> {
    const service = (await this.status()).services.find((one) => one.name === name);
    if (service === undefined) throw new Error(`${name} is not supervised`);
    return service;
  }

  async instances(name = BACKEND): Promise<readonly InstanceView[]> {
    return (await this.service(name)).instances;
  }

  async events(type?: string): Promise<readonly EventEntry[]> {
    const { data } = await this.get<{ events: readonly EventEntry[] }>('events?limit=1000');
    return data.events.filter((event) => type === undefined || event.type === type);
  }

  async loadBalancer(): Promise<LoadBalancerView> {
    return (await this.get<LoadBalancerView>('load-balancer')).data;
  }

  async failover(): Promise<FailoverView> {
    return (await this.get<FailoverView>('failover-manager')).data;
  }

  async metrics(): Promise<MetricsView> {
    return (await this.get<MetricsView>('metrics')).data;
  }

  async health(): Promise<Answer<HealthView>> {
    return this.get<HealthView>('health');
  }

  /** Waits until the status fulfils `condition`, and returns it. */
  async until(
    what: string,
    condition: (status: StatusView) => boolean,
    deadlineMs = 30_000,
  ): Promise<StatusView> {
    return waitFor(
      async () => {
        const status = await this.status();
        if (!condition(status)) throw new Error(JSON.stringify(status.services.map(summary)));
        return status;
      },
      { what, deadlineMs, intervalMs: 50 },
    );
  }

  /** Waits until the service serves exactly as many as wanted, and nothing is on its way. */
  async untilWhole(name = BACKEND, instances?: number, deadlineMs = 30_000): Promise<void> {
    await this.until(
      `${name} to be whole`,
      ({ services }) => {
        const service = services.find((one) => one.name === name);
        return (
          service?.state === 'healthy' &&
          service.operation === null &&
          service.instances.length === service.desired &&
          service.serving === service.desired &&
          (instances === undefined || service.desired === instances)
        );
      },
      deadlineMs,
    );
  }

  /** Calls a fault switch of one instance. */
  async fault(instance: InstanceView, path: string): Promise<void> {
    const url = `http://127.0.0.1:${instance.port}/debug/${path}`;
    const answer = await fetch(url, { method: 'POST', signal: AbortSignal.timeout(5_000) });
    if (!answer.ok) throw new Error(`POST ${url} answered ${answer.status}`);
  }

  async supervisorPid(): Promise<number> {
    return (await this.status()).node.pid;
  }

  supervisorLog(): string {
    return readFileSync(join(this.logDir, 'ha-supervisor.log'), 'utf8');
  }
}

function summary({ name, state, desired, serving, reason, instances }: ServiceView): unknown {
  const shown = instances.map(({ pmId, status, serving: isServing }) => `${pmId} ${status} ${isServing}`);
  return { name, state, desired, serving, reason, shown };
}
