/** Real sockets; those of another user need root. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { canBeStranger, stranger, STRANGER_UID } from '../../../../test/support/stranger.js';
import { prober } from '../probes/index.js';
import { portOwners } from './portOwners.js';
import { ownerOf, ownersOf } from './processOwner.js';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function listen(port = 0, host = '127.0.0.1'): Promise<{ server: Server; port: number }> {
  const server = createServer().listen(port, host);
  await once(server, 'listening');
  ends.push(() => server.listening && new Promise((resolve) => server.close(resolve)));
  return { server, port: (server.address() as AddressInfo).port };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const OURS = { pid: process.pid, userIds: [process.getuid?.() ?? 0] };

describe.runIf(process.platform === 'linux')('a port of ours', () => {
  it('is new when it is asked about first, and then the same, whether or not its holder is found', async () => {
    const { port } = await listen();
    expect(portOwners.check('127.0.0.1', port, OURS)).toBe('new');
    expect(portOwners.check('127.0.0.1', port, OURS)).toBe('same');
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(portOwners.check('127.0.0.1', port, OURS)).toBe('same');
  });

  it('is new again when another socket listens there', async () => {
    const { server, port } = await listen();
    portOwners.check('127.0.0.1', port, OURS);
    await new Promise((resolve) => server.close(resolve));
    await listen(port);
    await turn();
    expect(portOwners.check('127.0.0.1', port, OURS)).toBe('new');
    expect(portOwners.check('127.0.0.1', port, OURS)).toBe('same');
  });

  it('is new as long as nothing listens there', async () => {
    const { server, port } = await listen();
    portOwners.check('127.0.0.1', port, OURS);
    await new Promise((resolve) => server.close(resolve));
    await turn();
    expect(portOwners.check('127.0.0.1', port, OURS)).toBe('new');
    expect(portOwners.check('127.0.0.1', port, OURS)).toBe('new');
  });
});

describe.runIf(canBeStranger)("a stranger's port", () => {
  it.each(['127.0.0.1', '0.0.0.0', '::'])('on %s is told, and by whom it is held', async (host) => {
    const one = await stranger(0, host).listening;
    ends.push(() => one.leave());
    expect(portOwners.check('127.0.0.1', one.port, OURS)).toEqual({ userId: STRANGER_UID });
    const theirs = { pid: process.pid, userIds: [STRANGER_UID] };
    await turn();
    expect(portOwners.check('127.0.0.1', one.port, theirs)).toBe('new');
    const probe = { kind: 'http', path: '/', statusMin: 200, statusMax: 399, bodyIncludes: null } as const;
    const target = { host: '127.0.0.1', port: one.port };
    expect(await prober.probe({ ...target, owner: theirs }, probe, 1_000)).toMatchObject({ ok: true });
    expect(await prober.probe({ ...target, owner: OURS }, probe, 1_000)).toMatchObject({
      ok: false,
      kind: 'stranger',
      detail: `port ${one.port} is held by a process of another user (uid ${STRANGER_UID})`,
    });
    expect(await one.requests()).toBe(1);
  });

  it('is told when it was ours before', async () => {
    const { server, port } = await listen();
    portOwners.check('127.0.0.1', port, OURS);
    const waiting = stranger(port);
    await new Promise((resolve) => server.close(resolve));
    const one = await waiting.listening;
    ends.push(() => one.leave());
    expect(portOwners.check('127.0.0.1', port, OURS)).toEqual({ userId: STRANGER_UID });
    await one.leave();
    await listen(port);
    await turn();
    expect(portOwners.check('127.0.0.1', port, OURS)).toBe('new');
  });
});

describe.runIf(canBeStranger)('the owners of an instance', () => {
  it('are the user of its process and ours; with what it has started, the users of that, too', async () => {
    expect(ownerOf(process.pid)).toEqual({ pid: process.pid, userIds: [0] });
    const one = await stranger(0).listening;
    ends.push(() => one.leave());
    expect(ownerOf(process.pid)?.userIds).toEqual([0]);
    expect((await ownersOf(process.pid))?.userIds).toEqual([0, STRANGER_UID]);
  });

  it('are not known of a process that is gone, or of none', async () => {
    expect(ownerOf(null)).toBeNull();
    expect(ownerOf(2 ** 22 + 1)).toBeNull();
    expect(await ownersOf(null)).toBeNull();
  });
});
