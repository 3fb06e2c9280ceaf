/**
 * One gateway worker as a process of its own, an application behind it, honest clients in front of it, and whoever a
 * test lets loose on it. Afterwards nothing may be left of an attack: no connection, no request under way, no dead
 * worker, no request of the honest clients lost, and memory within the bound that the test names.
 */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { expect } from 'vitest';
import { Bystander } from './bystander.js';
import { GatewayHome, type GatewayProcess } from './gatewayProcess.js';
import { waitFor } from './waitFor.js';

/** Of the honest clients. */
const HONEST_ADDRESS = '127.0.1.1';
const SAMPLE_MS = 20;
const MEGABYTE = 2 ** 20;
/**
 * Answered to honest clients before the first attack. A young worker grows by thirty megabytes whoever it serves, until
 * both halves of its young space (2 x 16 MB, gateway/primary/workerFlags.ts) were in use once: no attack may be charged
 * with that, and none may hide behind it.
 */
const WARM_UP_REQUESTS = 4_000;

export interface Figures {
  readonly attack: string;
  /** Resident memory of the worker above what it had before: at most, while it lasted. */
  readonly growthMegabytes: number;
  readonly honestRequests: number;
  readonly honestP99Ms: number;
}

export type Application = (request: IncomingMessage, response: ServerResponse) => void;

export class Siege {
  readonly figures: Figures[] = [];
  readonly home: GatewayHome;
  readonly #gateway: GatewayProcess;
  readonly #server: Server;
  readonly #bystander: Bystander;
  readonly #worker: number;
  readonly #sockets = new Set<Socket>();

  private constructor(home: GatewayHome, gateway: GatewayProcess, server: Server) {
    this.home = home;
    this.#gateway = gateway;
    this.#server = server;
    this.#worker = gateway.workers()[0]!;
    this.#bystander = new Bystander({
      port: home.port,
      localAddress: HONEST_ADDRESS,
      path: '/honest',
    });
  }

  /** @param application answers everything but /honest and /health. */
  static async lay(application: Application, settings: Readonly<Record<string, string>>): Promise<Siege> {
    const server = createServer({ requestTimeout: 0 }, (request, response) => {
      if (request.url === '/honest' || request.url === '/health') response.end('ok');
      else application(request, response);
    });
    server.on('clientError', (_error, socket) => socket.destroy());
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    const home = await GatewayHome.create({
      BACKEND_HOSTS: `127.0.0.1:${(server.address() as AddressInfo).port}`,
      GATEWAY_WORKERS: '1',
      ...settings,
    });
    const siege = new Siege(home, await home.start(), server);
    await siege.#warm();
    return siege;
  }

  get server(): Server {
    return this.#server;
  }

  get port(): number {
    return this.home.port;
  }

  /** An attacker's connection. Bytes that come are thrown away unless somebody listens. */
  open(localAddress = '127.0.0.1'): Socket {
    const socket = connect({ port: this.port, host: '127.0.0.1', localAddress, allowHalfOpen: true });
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
    return socket;
  }

  /**
   * Lets `attack` happen, then looks at what is left of it.
   * @param mostGrowthMegabytes that the worker may grow by meanwhile.
   */
  async endures(name: string, mostGrowthMegabytes: number, attack: () => Promise<void>): Promise<Figures> {
    this.#bystander.take();
    const before = residentBytes(this.#worker);
    let most = before;
    const sampler = setInterval(() => {
      most = Math.max(most, residentBytes(this.#worker));
    }, SAMPLE_MS);
    try {
      await attack();
    } finally {
      clearInterval(sampler);
      for (const socket of this.#sockets) socket.destroy();
    }
    await this.#settled();
    const { requests, failures, p99Ms } = this.#bystander.take();
    const figures = {
      attack: name,
      growthMegabytes: Math.round((most - before) / MEGABYTE),
      honestRequests: requests,
      honestP99Ms: Math.round(p99Ms * 10) / 10,
    };
    this.figures.push(figures);
    expect(failures, 'requests of honest clients that failed').toEqual([]);
    expect(requests).toBeGreaterThan(0);
    expect(figures.growthMegabytes, 'MB that the worker grew by').toBeLessThanOrEqual(mostGrowthMegabytes);
    return figures;
  }

  async lift(): Promise<void> {
    await this.#bystander.stop();
    await this.home.dispose();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #warm(): Promise<void> {
    await waitFor(() => this.#bystander.answered >= WARM_UP_REQUESTS, {
      what: `${WARM_UP_REQUESTS} requests of the honest clients to be answered`,
      deadlineMs: 45_000,
    });
  }

  /** The same worker, without anything of the attackers: the honest clients have 3 connections, the question is one. */
  async #settled(): Promise<void> {
    await this.home.until(
      'connections and requests under way to be those of the honest clients',
      ({ traffic }) =>
        traffic.clientConnections <= 4 && traffic.inFlight <= 3 && traffic.upgradedConnections === 0,
    );
    const { workers, workerRestarts } = await this.home.status();
    expect(workers.map(({ pid }) => pid)).toEqual([this.#worker]);
    expect(workerRestarts).toBe(0);
    expect(this.home.log()).not.toContain('"level":"error"');
    expect(this.#gateway.workers()).toEqual([this.#worker]);
  }
}

/** Resolves when the other side has ended or reset the connection, with everything it sent, as latin1. */
export function untilClosed(socket: Socket, deadlineMs = 15_000): Promise<string> {
  let received = '';
  let closed = socket.destroyed;
  socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
  socket.on('end', () => socket.end());
  socket.on('close', () => (closed = true));
  return waitFor(() => closed, { what: 'the connection to be closed', deadlineMs }).then(() => received);
}

function residentBytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes ?? Number.NaN) * 1024;
}
