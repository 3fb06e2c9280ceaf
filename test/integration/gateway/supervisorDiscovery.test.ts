/** The supervisor as a source of upstreams: the real API over a control plane in memory. */
import { mkdtempSync, rmSync } from 'node:fs';
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import { createServer, type Server } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../../backend/src/adapters/clock.js';
import { SupervisorDiscovery } from '../../../backend/src/adapters/discovery/supervisor.js';
import { privateSocketAt } from '../../../backend/src/adapters/supervisor/privateSocket.js';
import type { SupervisorAddress } from '../../../backend/src/adapters/supervisor/supervisorAgent.js';
import { MemoryControlPlane } from '../../../backend/src/api/testing/memoryControlPlane.js';
import { startHarness, type Harness, type HarnessOptions } from '../../../backend/src/api/testing/harness.js';
import { discoveryContract, Listening, type DiscoveryWorld } from '../../support/discoveryContract.js';
import { waitFor } from '../../support/waitFor.js';

const SERVICE = 'words';
/** The control plane in memory gives instance n this port plus n. */
const PORT_BASE = 13_000;

/** A supervisor that can go away and come back on the same port. */
class Supervisor implements DiscoveryWorld {
  readonly controlPlane = new MemoryControlPlane();
  readonly #options: HarnessOptions;
  #api: Harness | null = null;
  #port = 0;
  #stranger: Server | null = null;
  #refused = 0;

  constructor(options: HarnessOptions = {}) {
    this.#options = options;
  }

  async start(): Promise<this> {
    const { settings } = this.#options;
    this.#api = await startHarness({
      ...this.#options,
      controlPlane: this.controlPlane,
      settings: { ...settings, port: this.#port },
    });
    this.#port = this.#api.port;
    return this;
  }

  open(
    token: string | null = null,
    local: SupervisorAddress['local'] = null,
    more: { readonly pollMs?: number } = {},
  ): SupervisorDiscovery {
    const url = `http://127.0.0.1:${this.#port}`;
    return new SupervisorDiscovery({
      supervisor: { url, token, local },
      ...more,
      service: SERVICE,
      clock: systemClock,
      random: () => 0.05,
    });
  }

  async say(members: readonly { readonly port: number }[]): Promise<void> {
    this.set(members.map(({ port }) => port));
    if (this.#api === null) {
      await this.#dismissStranger();
      await this.start();
    }
    this.controlPlane.emit('service.scaled', SERVICE, {
      service: SERVICE,
      from: 1,
      to: members.length,
      by: 'operator',
      reason: 'test',
    });
  }

  set(ports: readonly number[]): void {
    const service = this.controlPlane.services.find(({ name }) => name === SERVICE)!;
    service.pmIds = ports.map((port) => port - PORT_BASE);
    service.serving = ports.length;
  }

  /** By the port, as any user of this machine can. */
  takeStream(): ClientRequest {
    const stream = request({ port: this.#port, host: '127.0.0.1', path: '/api/ha/stream', agent: false });
    stream.on('error', () => undefined).end();
    return stream;
  }

  /** Something else listens there and hangs up. */
  async fail(): Promise<void> {
    await this.#api?.close();
    this.#api = null;
    this.#stranger = createServer((socket) => {
      this.#refused += 1;
      socket.destroy();
    });
    this.#stranger.listen(this.#port, '127.0.0.1');
    await once(this.#stranger, 'listening');
  }

  asked(): number {
    return this.#refused;
  }

  async close(): Promise<void> {
    await this.#api?.close();
    await this.#dismissStranger();
  }

  async #dismissStranger(): Promise<void> {
    const stranger = this.#stranger;
    this.#stranger = null;
    if (stranger !== null) await new Promise((resolve) => stranger.close(resolve));
  }
}

discoveryContract(() => new Supervisor().start(), { a: PORT_BASE + 1, b: PORT_BASE + 2 });

describe('the supervisor', () => {
  async function follow(options: HarnessOptions = {}, token: string | null = null) {
    const supervisor = await new Supervisor(options).start();
    supervisor.set([13_001, 13_002]);
    const source = new Listening(supervisor.open(token));
    onTestFinished(async () => {
      await source.discovery.close();
      await supervisor.close();
    });
    return { supervisor, source };
  }

  it('whose streams are all taken by others is followed over the private socket, and polled by the port', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'hf-streams-'));
    const socketPath = join(dataDir, 'run/api.sock');
    onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }));
    const { supervisor, source: before } = await follow({
      privateSocket: privateSocketAt(socketPath),
      limits: { streamClients: 5 },
    });
    const others = Array.from({ length: 10 }, () => supervisor.takeStream());
    onTestFinished(() => others.forEach((each) => each.destroy()));
    const statuses = await Promise.all(others.map((each) => once(each, 'response')));
    const refused = statuses.filter(([answer]) => (answer as IncomingMessage).statusCode === 503);
    expect(refused.length).toBeGreaterThanOrEqual(5);
    // A gateway that starts only now: with the socket, and without it.
    const [near, far] = [{ socketPath, dataDir }, null].map(
      (local) => new Listening(supervisor.open(null, local, { pollMs: 50 })),
    );
    onTestFinished(() =>
      Promise.all([near!, far!].map(({ discovery }) => discovery.close())).then(() => undefined),
    );
    await waitFor(() => far!.notes.at(-1)?.polling === 'it answered 503', { what: 'the word of it' });
    supervisor.set([13_003]);
    await far!.hears('127.0.0.1:13003');
    supervisor.set([13_004]);
    supervisor.controlPlane.emit('instance.serving', SERVICE, {
      service: SERVICE,
      instance: { pmId: 4, pid: 4, port: 13_004 },
      afterMs: 1,
    });
    for (const each of [near!, far!, before]) await each.hears('127.0.0.1:13004');
    expect([near!.problems, near!.notes.at(-1)?.polling]).toEqual([[], undefined]);
  });

  it('takes an instance out as soon as it is withdrawn, and its state decides afterwards', async () => {
    const { supervisor, source } = await follow();
    await source.hears('127.0.0.1:13001', '127.0.0.1:13002');
    const instance = { pmId: 1, pid: 1, port: 13_001 };
    supervisor.controlPlane.emit('instance.withdrawn', SERVICE, { service: SERVICE, instance, why: 'test' });
    // The state still shows it as serving, so it comes back; what counts is that it was away before that was known.
    await waitFor(() => source.lists.length === 3, { what: 'three lists' });
    expect(source.lists.map((list) => list.map(({ port }) => port))).toEqual([
      [13_001, 13_002],
      [13_002],
      [13_001, 13_002],
    ]);
  });

  it('does not mind events of other services', async () => {
    const { supervisor, source } = await follow();
    await source.hears('127.0.0.1:13001', '127.0.0.1:13002');
    const instance = { pmId: 1, pid: 1, port: 13_001 };
    supervisor.controlPlane.emit('instance.withdrawn', 'web', { service: 'web', instance, why: 'test' });
    await supervisor.say([{ port: 13_001 }]);
    await source.hears('127.0.0.1:13001');
    expect(source.lists).toHaveLength(2);
  });

  it('presents its token, and says what to do where it is refused', async () => {
    const token = 'a-long-and-random-token';
    const { source } = await follow({ settings: { token } }, token);
    await source.hears('127.0.0.1:13001', '127.0.0.1:13002');
    const refused = await follow({ settings: { token } }, 'another-long-and-random-token');
    const problem = await refused.source.hearsProblem();
    expect(problem).toBe('supervisor: it answered 401; see haApiToken');
  });

  it('is told when the service is not known, and finds it when it is', async () => {
    const supervisor = await new Supervisor().start();
    const service = supervisor.controlPlane.services.shift()!;
    const source = new Listening(supervisor.open());
    onTestFinished(async () => {
      await source.discovery.close();
      await supervisor.close();
    });
    expect(await source.hearsProblem()).toBe(`supervisor: it knows no service ${SERVICE}`);
    supervisor.controlPlane.services.unshift(service);
    supervisor.set([13_005]);
    await source.hears('127.0.0.1:13005');
  });
});
