/** What a real daemon cannot be made to do on purpose; everything else is tested on one in test/integration. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freePortRange } from '../../../../test/support/ports.js';
import type { Clock, Logger } from '../../ports.js';
import { decodeArgument, encodeFrame, FrameSplitter } from './frames.js';
import { createPm2ProcessManager, type Pm2ProcessManager } from './processManager.js';
import { definedApp } from './testing/definedApp.js';

const quiet = (): void => undefined;
const logger: Logger = { debug: quiet, info: quiet, warn: quiet, error: quiet };

let home: string;
let server: Server;
let manager: Pm2ProcessManager;
let firstPort: number;
/** Ports that the daemon was told to start an instance on. */
let prepared: string[];
/** What runs after a while; the test is the one to say when. */
let due: (() => void)[];

const clock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (_delayMs, run) => {
    due.push(run);
    return quiet;
  },
};

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'holdfast-manager-'));
  writeFileSync(join(home, 'app.js'), '');
  firstPort = await freePortRange(2);
  prepared = [];
  due = [];
  // A daemon that lists nothing, and takes a start without ever answering it.
  server = createServer((socket) => {
    const splitter = new FrameSplitter(1024 * 1024);
    socket.on('error', quiet);
    socket.on('data', (chunk: Buffer) => {
      for (const frame of splitter.push(chunk)) {
        const [call, id] = frame.map(decodeArgument) as [
          { method: string; args: [{ env: { PORT: string } }] },
          number,
        ];
        if (call.method === 'prepare') prepared.push(call.args[0].env.PORT);
        else socket.write(encodeFrame([{ args: [call.method === 'getMonitorData' ? [] : '7.0.4'] }, id]));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(join(home, 'rpc.sock'), resolve));
  manager = createPm2ProcessManager({
    pm2Home: home,
    services: () => ['web'],
    definitions: () => Promise.resolve([definedApp('web', join(home, 'app.js'))]),
    portRange: () => ({ first: firstPort, last: firstPort + 1 }),
    killTimeoutMs: () => 1_000,
    clock,
    logger,
    callTimeoutMs: 100,
  });
});

afterEach(async () => {
  await manager.close();
  await new Promise((resolve) => server.close(resolve));
  rmSync(home, { recursive: true });
});

describe('a start that PM2 may still carry out after its time-out', () => {
  it('keeps its port from the next start, and gives it back later', async () => {
    const start = (): Promise<unknown> => manager.startInstance('web');
    await expect(start()).rejects.toMatchObject({ code: 'pm2.timeout' });
    await expect(start()).rejects.toMatchObject({ code: 'pm2.timeout' });
    await expect(start()).rejects.toMatchObject({ code: 'port.none-free' });
    expect(prepared).toEqual([String(firstPort), String(firstPort + 1)]);
    due.shift()?.();
    await expect(start()).rejects.toMatchObject({ code: 'pm2.timeout' });
    expect(prepared.at(-1)).toBe(String(firstPort));
  });
});
