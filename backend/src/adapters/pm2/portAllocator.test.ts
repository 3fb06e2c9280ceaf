import { createServer, type Server } from 'node:net';
import { networkInterfaces } from 'node:os';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { freePortRange } from '../../../../test/support/ports.js';
import { waitFor } from '../../../../test/support/waitFor.js';
import { describePortHolder } from '../net/portHolder.js';
import { choosePort, isFreeOnHost, PortAllocator } from './portAllocator.js';

function listen(port: number, host: string): Promise<Server> {
  const server = createServer();
  return new Promise((resolve) => server.listen(port, host, () => resolve(server)));
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

describe('choosePort', () => {
  it('is the lowest of the range that nobody has, or null when all are taken', () => {
    const ports = fc.uniqueArray(fc.integer({ min: 95, max: 115 }));
    fc.assert(
      fc.property(ports, ports, (taken, reserved) => {
        const range = { first: 100, last: 110 };
        const excluded = new Set([...taken, ...reserved]);
        const lowest = Array.from({ length: 11 }, (_, index) => 100 + index).find(
          (port) => !excluded.has(port),
        );
        expect(choosePort(range, new Set(taken), new Set(reserved))).toBe(lowest ?? null);
      }),
    );
  });
});

describe('isFreeOnHost', () => {
  const hasIpv6 = Object.values(networkInterfaces()).some((each) => each?.some((at) => at.family === 'IPv6'));

  it.each(['127.0.0.1', '0.0.0.0', ...(hasIpv6 ? ['::1', '::'] : [])])(
    'sees a listener on %s',
    async (host) => {
      const port = await freePortRange(1);
      expect(await isFreeOnHost(port)).toBe(true);
      const server = await listen(port, host);
      expect(await isFreeOnHost(port)).toBe(false);
      await close(server);
      expect(await isFreeOnHost(port)).toBe(true);
    },
  );
});

describe('PortAllocator', () => {
  it('promises a port to one start at a time, and again once it is released', async () => {
    const first = await freePortRange(4);
    const allocator = new PortAllocator({ describeHolder: describePortHolder, onOccupied: () => undefined });
    const range = { first, last: first + 3 };
    const leases = await Promise.all([1, 2, 3].map(() => allocator.allocate('web', range, new Set([first]))));
    expect(leases.map((lease) => lease.port).sort()).toEqual([first + 1, first + 2, first + 3]);
    await expect(allocator.allocate('web', range, new Set([first]))).rejects.toMatchObject({
      code: 'port.none-free',
    });
    leases[1]?.release();
    expect((await allocator.allocate('web', range, new Set([first]))).port).toBe(leases[1]?.port);
  });

  it('gives a port that is to be avoided only where no other is free', async () => {
    const first = await freePortRange(3);
    const allocator = new PortAllocator({ describeHolder: describePortHolder, onOccupied: () => undefined });
    const range = { first, last: first + 2 };
    const chosen: number[] = [];
    for (let starts = 0; starts < 3; starts += 1)
      chosen.push((await allocator.allocate('web', range, new Set(), new Set([first, first + 1]))).port);
    expect(chosen).toEqual([first + 2, first, first + 1]);
  });

  it('passes over a stranger, tells once who it is, and tells again when it is another', async () => {
    const first = await freePortRange(2);
    let holder = 'pid 1 (one)';
    const told: string[] = [];
    const allocator = new PortAllocator({
      describeHolder: () => Promise.resolve(holder),
      onOccupied: ({ port, by }) => told.push(`${port} ${by}`),
    });
    const range = { first, last: first + 1 };
    const stranger = await listen(first, '127.0.0.1');
    const allocate = async (): Promise<void> => {
      const lease = await allocator.allocate('web', range, new Set());
      expect(lease.port).toBe(first + 1);
      lease.release();
    };
    await allocate();
    await allocate();
    await waitFor(() => told.length === 1, { what: 'the first notice' });
    holder = 'pid 2 (two)';
    await allocate();
    await waitFor(() => told.length === 2, { what: 'the second notice' });
    expect(told).toEqual([`${first} pid 1 (one)`, `${first} pid 2 (two)`]);
    await close(stranger);
    expect((await allocator.allocate('web', range, new Set())).port).toBe(first);
  });
});

describe('describePortHolder', () => {
  it('names this process for its own listener, and nobody for a free port', async () => {
    const port = await freePortRange(1);
    expect(await describePortHolder(port)).toBeNull();
    const server = await listen(port, '127.0.0.1');
    expect(await describePortHolder(port)).toMatch(new RegExp(`^pid ${process.pid} \\(.+\\)$`));
    await close(server);
  });
});
