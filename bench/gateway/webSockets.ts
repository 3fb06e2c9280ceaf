/** Memory of a proxy with 2 000 WebSockets on which nothing moves: each costs two connections. */
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { freePort } from '../../test/support/privateServer.js';
import { benchFolder } from '../lib/paths.js';
import { rounded } from '../lib/statistics.js';
import { formatTable } from '../lib/table.js';
import { pause } from '../lib/time.js';
import { OTHER_CORE, PinnedProcess, type Programs } from './processes.js';
import { startProxy, type ProxyName } from './proxies.js';

const PROXIES: readonly ProxyName[] = ['holdfast', 'haproxy', 'nginx', 'http-proxy'];
const SOCKETS = 2_000;
/** Clients come from several addresses of the loopback network: one may have 1 000 connections by default. */
const ADDRESSES = 4;
const AT_A_TIME = 50;
const SETTLE_MS = 3_000;
const DEADLINE_MS = 10_000;

export interface WebSocketRow {
  readonly proxy: ProxyName;
  readonly sockets: number;
  /** Resident memory with none and with all of them; without what the kernel holds for their buffers. */
  readonly beforeMegabytes: number;
  readonly afterMegabytes: number;
  readonly kilobytesEach: number;
}

export async function measureWebSockets(
  program: Programs,
  say: (text: string) => void,
): Promise<WebSocketRow[]> {
  const port = await freePort();
  const origin = new PinnedProcess({
    name: 'origin',
    core: OTHER_CORE,
    command: () => [process.execPath, join(benchFolder, 'gateway/webSocketOrigin.cjs'), String(port)],
  });
  try {
    await origin.answers(port);
    const rows: WebSocketRow[] = [];
    for (const name of PROXIES) {
      say(`idle WebSockets: ${name}`);
      rows.push(await measureOne(name, port, program));
    }
    return rows;
  } finally {
    await origin.end();
  }
}

async function measureOne(name: ProxyName, originPort: number, program: Programs): Promise<WebSocketRow> {
  const proxy = await startProxy(name, [`127.0.0.1:${originPort}`], program);
  const sockets: Socket[] = [];
  try {
    // What is loaded and compiled with the first of them is not the price of each.
    for (const socket of await openAll(proxy.port, AT_A_TIME)) socket.destroy();
    await pause(SETTLE_MS);
    const before = proxy.process.residentBytes();
    sockets.push(...(await openAll(proxy.port, SOCKETS)));
    await pause(SETTLE_MS);
    const after = proxy.process.residentBytes();
    const lost = sockets.filter(({ destroyed }) => destroyed).length;
    if (lost > 0) throw new Error(`${name} closed ${lost} of ${SOCKETS} idle WebSockets`);
    return {
      proxy: name,
      sockets: SOCKETS,
      beforeMegabytes: rounded(before / 2 ** 20, 1),
      afterMegabytes: rounded(after / 2 ** 20, 1),
      kilobytesEach: rounded((after - before) / 1_024 / SOCKETS, 1),
    };
  } finally {
    for (const socket of sockets) socket.destroy();
    await proxy.process.end();
  }
}

async function openAll(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const missing = Math.min(AT_A_TIME, count - sockets.length);
    const opened = Array.from({ length: missing }, (_, index) => open(port, sockets.length + index));
    sockets.push(...(await Promise.all(opened)));
  }
  return sockets;
}

/** A WebSocket whose opening handshake is complete. */
function open(port: number, index: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: `127.0.0.${2 + (index % ADDRESSES)}` });
    socket.setTimeout(DEADLINE_MS, () => socket.destroy(new Error('a WebSocket did not open in time')));
    socket.on('error', reject);
    socket.write(
      'GET /ws HTTP/1.1\r\nHost: bench.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    let received = '';
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
      if (!received.includes('\r\n\r\n')) return;
      socket.setTimeout(0);
      if (received.startsWith('HTTP/1.1 101 ')) resolve(socket);
      else reject(new Error(`no WebSocket: ${received.slice(0, 200)}`));
    });
  });
}

export function webSocketTable(rows: readonly WebSocketRow[]): string {
  return formatTable(
    [`${SOCKETS} idle WebSockets`, 'MB before', 'MB after', 'KB each'],
    rows.map(({ proxy, beforeMegabytes, afterMegabytes, kilobytesEach }) => [
      proxy,
      beforeMegabytes.toFixed(0),
      afterMegabytes.toFixed(0),
      kilobytesEach.toFixed(1),
    ]),
  );
}
