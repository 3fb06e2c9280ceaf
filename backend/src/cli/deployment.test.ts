import { createServer, type Server } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { compare } from './deployment.js';
import type { DefinedApp } from './ecosystemFile.js';
import type { Pm2App } from './pm2Command.js';
import { isPortFree } from './portCheck.js';

const app = (name: string): DefinedApp => ({
  name,
  instances: 1,
  port: null,
  outFile: null,
  errorFile: null,
});
const row = (name: string, status: string): Pm2App => ({
  name,
  status,
  pmId: 0,
  pid: 1,
  port: null,
  restarts: 0,
});

describe('compare', () => {
  it('tells what PM2 does not list from what it lists as stopped', () => {
    const listed = [
      row('b', 'online'),
      row('c', 'stopped'),
      row('c', 'errored'),
      row('d', 'stopped'),
      row('d', 'online'),
    ];
    const { missing, halted } = compare(['a', 'b', 'c', 'd'].map(app), listed);
    expect(missing.map(({ name }) => name)).toEqual(['a']);
    // One instance that runs is enough to leave a service to the supervisor.
    expect(halted.map(({ name }) => name)).toEqual(['c']);
  });

  it('ignores the applications of others', () => {
    expect(compare([app('a')], [row('foreign', 'stopped')])).toEqual({ missing: [app('a')], halted: [] });
  });
});

describe('isPortFree', () => {
  let server: Server | undefined;
  afterEach(() => server?.close());

  it.each(['127.0.0.1', '0.0.0.0', '::'])('sees a listener on %s', async (host) => {
    const listener = createServer();
    server = listener;
    await new Promise<void>((resolve) => listener.listen(0, host, resolve));
    const { port } = listener.address() as AddressInfo;
    await expect(isPortFree(port)).resolves.toBe(false);
    await new Promise((resolve) => listener.close(resolve));
    await expect(isPortFree(port)).resolves.toBe(true);
  });
});
