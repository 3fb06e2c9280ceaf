import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { tcpRows } from '../adapters/net/tcpTable.js';
import type { CliContext } from './context.js';
import type { DefinedApp } from './ecosystemFile.js';
import { isPortFree, requireFreePorts } from './portCheck.js';

const HOST = '127.0.0.1';
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function listening(): Promise<number> {
  const server = createServer((peer) => peer.on('error', () => undefined)).listen(0, HOST);
  await once(server, 'listening');
  cleanups.push(() => void server.close());
  return (server.address() as AddressInfo).port;
}

/**
 * A port that the kernel gave to a connection, and on which nothing listens. The kernel gives one port to connections to
 * several addresses: what another one leaves behind (TIME_WAIT, a minute) would outlast the test, so such a port is not taken.
 */
async function connected(): Promise<{ readonly port: number; readonly socket: Socket }> {
  const to = await listening();
  for (;;) {
    const socket = connect({ host: HOST, port: to });
    cleanups.push(() => void socket.resetAndDestroy());
    await once(socket, 'connect');
    const port = socket.localPort ?? 0;
    const users = (await tcpRows())?.filter(({ localPort }) => localPort === port) ?? [];
    if (users.length <= 1) return { port, socket };
  }
}

function check(port: number): { readonly said: string[]; readonly ended: Promise<void> } {
  const said: string[] = [];
  const context = {
    config: { ecosystemFile: 'ecosystem.config.js', dataDir: '/nowhere', defaultService: null },
    terminal: { progress: (text: string) => said.push(text) },
  } as unknown as CliContext;
  const app = { name: 'shop', port, instances: 1, portFrom: 'PORT' } as unknown as DefinedApp;
  return { said, ended: requireFreePorts(context, [app]) };
}

it('says which process listens on a port that is needed', async () => {
  const port = await listening();
  const { said, ended } = check(port);
  await expect(ended).rejects.toMatchObject({
    code: 'port.taken',
    message: expect.stringContaining(`Port ${port}, which shop needs, is taken by pid ${process.pid}`),
  });
  expect(said).toEqual([]);
});

it('waits for a port that only a connection has, and says why', async () => {
  const { port, socket } = await connected();
  expect(await isPortFree(port)).toBe(false);
  const { said, ended } = check(port);
  while (said.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(said[0]).toMatch(
    new RegExp(
      `^A connection of this machine \\(they get ports \\d+ to \\d+\\) has port ${port}, which shop needs .*waiting for it$`,
    ),
  );
  socket.resetAndDestroy();
  await ended;
});
