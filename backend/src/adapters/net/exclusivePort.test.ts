import { createServer } from 'node:net';
import type { AddressInfo, ListenOptions } from 'node:net';
import { expect, it } from 'vitest';
import { whyNotFree } from './exclusivePort.js';

it('finds a port free, and leaves it so', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  expect(await whyNotFree('127.0.0.1', port)).toBeNull();
  expect(await whyNotFree('127.0.0.1', port)).toBeNull();
});

it.each([
  ['shares it with nobody', false],
  ['would share it', true],
])('finds it taken by one that %s', async (_how, reusePort) => {
  const server = createServer();
  // Ignored where Node has no SO_REUSEPORT yet; its types say nothing of it here.
  const options: ListenOptions & { readonly reusePort: boolean } = { port: 0, host: '127.0.0.1', reusePort };
  await new Promise<void>((resolve) => server.listen(options, resolve));
  const { port } = server.address() as AddressInfo;
  expect((await whyNotFree('127.0.0.1', port))?.code).toBe('EADDRINUSE');
  await new Promise((resolve) => server.close(resolve));
});
