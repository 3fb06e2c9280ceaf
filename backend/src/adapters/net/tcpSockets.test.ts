import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { waitFor } from '../../../../test/support/waitFor.js';
import type { TcpSockets } from '../../ports.js';
import { tcpSockets } from './tcpSockets.js';
import { tcpRows } from './tcpTable.js';

const HEAD =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
const row = (local: string, remote: string, state: string, queues: string, inode = 77): string =>
  `   0: ${local} ${remote} ${state} ${queues} 00:00000000 00000000  1000        0 ${inode} 1 0 20 4 30 10 -1\n`;
const LOOPBACK = '0100007F';
const NOTHING = '00000000:00000000';
/** Port 0x1388 is 5000, 0x32CB is 13003. */
const here = row(`${LOOPBACK}:1388`, `${LOOPBACK}:32CB`, '01', '00000010:00000003');
const there = row(`${LOOPBACK}:32CB`, `${LOOPBACK}:1388`, '01', '00000007:00000100');

const read = async (tcp: string, tcp6 = ''): Promise<TcpSockets> => {
  const found = await tcpSockets(() =>
    tcpRows((file) => Promise.resolve(HEAD + (file.endsWith('6') ? tcp6 : tcp))),
  );
  return found!;
};

describe('bytes that the other end has not read', () => {
  it.each([
    ['are those on their way to it and those that wait there', here + there, '', 0x10 + 0x100],
    [
      'also where the other end speaks IPv6',
      here,
      there.replaceAll(LOOPBACK, `0000000000000000FFFF0000${LOOPBACK}`),
      0x110,
    ],
    ['also where it has been told that nothing more comes', here + there.replace(' 01 ', ' 08 '), '', 0x110],
    ['are not known when the other end is on another machine', here, '', null],
    [
      'are not known when two connections have these ports',
      here + there + there.replaceAll(LOOPBACK, '0200007F'),
      '',
      null,
    ],
    ['are not known when there is no such connection', '', '', null],
  ])('%s', async (_, tcp, tcp6, bytes) => {
    expect((await read(tcp, tcp6)).unreadBytes(5_000, 13_003)).toBe(bytes);
  });
});

it('names what listens on a port, in both families', async () => {
  const any = row('00000000:32CB', '00000000:0000', '0A', NOTHING, 5);
  const six = row(`${'0'.repeat(32)}:32CB`, `${'0'.repeat(32)}:0000`, '0A', NOTHING, 6);
  const other = row('00000000:1388', '00000000:0000', '0A', NOTHING, 7);
  const sockets = await read(any + other + there, six);
  expect([...sockets.listeners(13_003)].sort()).toEqual(['5', '6']);
  expect(sockets.listeners(1)).toEqual(new Set());
});

it('knows nothing where the system has no such list', async () => {
  const sockets = await tcpSockets(() => tcpRows(() => Promise.reject(new Error('ENOENT'))));
  expect(sockets).toBeNull();
});

describe.runIf(process.platform === 'linux')('of real sockets', () => {
  const open: (Server | Socket)[] = [];
  afterEach(() => {
    for (const one of open.splice(0)) {
      if ('destroy' in one) one.destroy();
      else one.close();
    }
  });

  it.each(['127.0.0.1', '::1'])(
    'to %s: counts what is unread, and sees the port being closed',
    async (host) => {
      const server = createServer({ pauseOnConnect: true });
      open.push(server);
      server.listen(0, host);
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const accepted = once(server, 'connection') as Promise<[Socket]>;
      const client = connect({ host, port });
      open.push(client);
      await once(client, 'connect');
      const [peer] = await accepted;
      open.push(peer);
      client.write('x'.repeat(1_000));
      const unread = async (): Promise<number | null> =>
        (await tcpSockets())?.unreadBytes(client.localPort!, port) ?? null;
      await waitFor(async () => (await unread()) === 1_000, { what: 'all of it to be unread' });
      expect((await tcpSockets())?.listeners(port).size).toBe(1);
      peer.resume();
      await waitFor(async () => (await unread()) === 0, { what: 'all of it to be read' });
      server.close();
      expect((await tcpSockets())?.listeners(port).size).toBe(0);
      expect(await unread()).toBe(0);
    },
  );
});
