import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import { waitFor } from '../../../../test/support/waitFor.js';
import { Deadlines } from '../shared/deadlines.js';
import { DEFAULT_LIMITS } from '../shared/limits.js';
import type { UpstreamConnection } from './upstreamConnection.js';
import { UpstreamConnections, type Borrower } from './upstreamConnections.js';

/** As many as are opened at a time. */
const AT_A_TIME = 16;
const CROWD = 100;

let turns = 0;

/** Needs a connection, and notes what becomes of that. */
class Request implements Borrower {
  lent: UpstreamConnection[] = [];
  /** When it was lent one, among all. */
  turn = 0;
  connected = 0;
  problem = '';
  readonly #onConnected: (request: Request, connection: UpstreamConnection) => void;

  constructor(onConnected: (request: Request, connection: UpstreamConnection) => void = () => {}) {
    this.#onConnected = onConnected;
  }

  onLent(connection: UpstreamConnection): void {
    this.lent.push(connection);
    this.turn = turns += 1;
  }
  onConnected(connection: UpstreamConnection): void {
    this.connected += 1;
    this.#onConnected(this, connection);
  }
  onUpstreamBytes(): void {}
  onUpstreamDrain(): void {}
  onUpstreamEnd(): void {}
  onUpstreamGone(problem: string): void {
    this.problem = problem;
  }
}

let ends: (() => void)[] = [];
let clock = new FakeClock();
afterEach(() => {
  for (const end of ends.reverse()) end();
  ends = [];
});

/** @param waitMs longer than any machine is held up, where a connection that is given back is to be what ends a wait. */
function connectionsTo(port: number, waitMs?: number): UpstreamConnections {
  clock = new FakeClock();
  const deadlines = new Deadlines(clock, 100, () => {});
  deadlines.start();
  return new UpstreamConnections({ host: '127.0.0.1', port }, DEFAULT_LIMITS, deadlines, waitMs);
}

async function upstream(): Promise<{ server: Server; port: number }> {
  const accepted: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    accepted.push(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  ends.push(() => {
    for (const socket of accepted) socket.destroy();
    server.close();
  });
  return { server, port: (server.address() as AddressInfo).port };
}

/** One whose kernel completes two connections and no more: its process is stopped, and its backlog is full. */
async function deafUpstream(): Promise<number> {
  const script = `const server = require('node:net').createServer().listen(0, '127.0.0.1', 1,
    () => console.log(server.address().port))`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  ends.push(() => child.kill('SIGKILL'));
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  child.kill('SIGSTOP');
  return Number(port);
}

/** Many at once, each of which needs a connection. */
function crowd(connections: UpstreamConnections, make = (): Request => new Request()): Request[] {
  const requests = Array.from({ length: CROWD }, make);
  for (const request of requests) connections.lend(request, false);
  return requests;
}

const lentCount = (requests: readonly Request[]): number =>
  requests.filter(({ lent }) => lent.length > 0).length;

describe('UpstreamConnections', () => {
  it('opens a few for a crowd, and serves the rest with those that come back, first come, first served', async () => {
    const { port } = await upstream();
    const connections = connectionsTo(port, 60_000);
    const order: Request[] = [];
    const requests = crowd(
      connections,
      () =>
        new Request((request, connection) => {
          order.push(request);
          setImmediate(() => connections.giveBack(connection, true));
        }),
    );
    expect(lentCount(requests)).toBe(AT_A_TIME);
    await waitFor(() => order.length === CROWD, { what: 'all to be served' });
    expect(new Set(order).size).toBe(CROWD);
    expect(order.slice(0, AT_A_TIME)).toEqual(requests.slice(0, AT_A_TIME));
    expect(requests.toSorted((a, b) => a.turn - b.turn)).toEqual(requests);
    expect(connections.opened).toBeLessThan(CROWD);
    expect(requests.every(({ lent, connected }) => lent.length === 1 && connected === 1)).toBe(true);
    connections.closeIdle();
    expect(connections.size).toBe(0);
  });

  it('opens one for everybody, a few at a time, where none comes back', async () => {
    const { port } = await upstream();
    const connections = connectionsTo(port);
    const requests = crowd(connections);
    await waitFor(() => requests.every(({ connected }) => connected === 1), { what: 'all to be connected' });
    expect(connections.opened).toBe(CROWD);
    for (const { lent } of requests) lent[0]!.destroy();
    expect(connections.size).toBe(0);
  });

  it('keeps nobody waiting for an upstream that does not accept', async () => {
    const connections = connectionsTo(await deafUpstream());
    const requests = crowd(connections);
    await waitFor(() => lentCount(requests) === CROWD, { what: 'all to have one of their own' });
    expect(connections.opened).toBe(CROWD);
    for (const { lent } of requests) lent[0]!.destroy();
  });

  it('goes on with the next when opening fails', async () => {
    const { server, port } = await upstream();
    server.close();
    await once(server, 'close');
    const connections = connectionsTo(port);
    const requests = crowd(connections);
    await waitFor(() => requests.every(({ problem }) => problem === 'ECONNREFUSED'), {
      what: 'all to be told',
    });
    expect([connections.size, connections.opened]).toEqual([0, CROWD]);
    const later = new Request();
    connections.lend(later, false);
    expect(later.lent).toHaveLength(1);
  });

  it('gives none to who has stopped waiting, and a new one at once to who asks for that', async () => {
    const { port } = await upstream();
    const connections = connectionsTo(port);
    const requests = crowd(connections);
    const [gone, stays] = requests.slice(-2);
    connections.stopWaiting(gone!);
    const fresh = new Request();
    connections.lend(fresh, true);
    expect(fresh.lent).toHaveLength(1);
    await waitFor(() => stays!.connected === 1 && fresh.connected === 1, {
      what: 'the last to be connected',
    });
    expect(gone!.lent).toEqual([]);
    for (const { lent } of [...requests, fresh]) lent[0]?.destroy();
  });

  it('gives up one that came about after its process had ended', async () => {
    const { port } = await upstream();
    const connections = connectionsTo(port);
    const request = new Request();
    connections.lend(request, false);
    connections.abandon(100);
    await waitFor(() => request.connected === 1, { what: 'it to be connected' });
    await clock.advance(200);
    expect(request.problem).toBe('its process has ended');
    expect(connections.size).toBe(0);
  });
});

describe('an address whose process was superseded', () => {
  it('loses its idle connections, and those that are busy after their exchange; later ones are kept', async () => {
    const { port } = await upstream();
    const connections = connectionsTo(port);
    const lent = async (): Promise<UpstreamConnection> => {
      const request = new Request();
      connections.lend(request, false);
      await waitFor(() => request.connected === 1, { what: 'a connection' });
      return request.lent[0]!;
    };
    const [idle, busy] = [await lent(), await lent()];
    connections.giveBack(idle, true);
    expect(idle.usable).toBe(true);
    connections.retire();
    expect(connections.size).toBe(1);
    expect(busy.usable).toBe(false);
    connections.giveBack(busy, true);
    expect(connections.size).toBe(0);
    const later = await lent();
    connections.giveBack(later, true);
    expect(await lent()).toBe(later);
  });
});
