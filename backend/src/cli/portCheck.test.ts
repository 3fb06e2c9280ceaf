import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, expect, it } from 'vitest';
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

/** One that the kernel gave to a connection, and on which nothing listens. */
async function connected(): Promise<{ readonly port: number; readonly socket: Socket }> {
  const socket = connect({ host: HOST, port: await listening() });
  cleanups.push(() => void socket.resetAndDestroy());
  await once(socket, 'connect');
  return { port: socket.localPort ?? 0, socket };
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
