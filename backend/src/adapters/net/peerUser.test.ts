import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { waitFor } from '../../../../test/support/waitFor.js';
import { peerUserId } from './peerUser.js';

const HEAD =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
const LOOPBACK = '0100007F';
const row = (local: string, remote: string, state: string, uid: number, inode = 77): string =>
  `   0: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000  ${uid}        0 ${inode} 1 0 20 4 30 10 -1\n`;
/** A connection from port 0x1388 (5000) to ours, 0x32CB (13003). */
const client = (uid: number, state = '01', inode = 77): string =>
  row(`${LOOPBACK}:1388`, `${LOOPBACK}:32CB`, state, uid, inode);
const server = row(`${LOOPBACK}:32CB`, `${LOOPBACK}:1388`, '01', 0);
const MAPPED = '0000000000000000FFFF00000100007F';
const SIX = '00000000000000000000000001000000';

const ask = (tcp: string, tcp6 = ''): Promise<number | null> =>
  peerUserId({ localPort: 13_003, remotePort: 5_000 }, (file) =>
    Promise.resolve(HEAD + (file.endsWith('6') ? tcp6 : tcp)),
  );

describe('the user at the other end of a connection', () => {
  it.each([
    ['is the owner of its socket', client(1_000) + server, '', 1_000],
    ['also through IPv6', '', row(`${SIX}:1388`, `${SIX}:32CB`, '01', 5), 5],
    ['also where one end speaks IPv6', server, row(`${MAPPED}:1388`, `${MAPPED}:32CB`, '01', 6), 6],
    [
      'is not known when that end is closed: such sockets are shown as those of root',
      client(0, '05', 0),
      '',
      null,
    ],
    ['is not known when that end is closed and still connected', client(0, '01', 0), '', null],
    [
      'is not known where two connections have these ports',
      client(1) + client(2).replace(LOOPBACK, '0200007F'),
      '',
      null,
    ],
    ['is not known where it comes from another machine', client(1).replace(LOOPBACK, '0100000A'), '', null],
    ['is not known where there is no such connection', server, '', null],
    ['is not known where the kernel says something else', 'nonsense\n\n', '', null],
  ])('%s', async (_, tcp, tcp6, uid) => {
    expect(await ask(tcp, tcp6)).toBe(uid);
  });

  it('is not known where there is no such list', async () => {
    const failing = (): Promise<string> => Promise.reject(new Error('ENOENT'));
    expect(await peerUserId({ localPort: 1, remotePort: 2 }, failing)).toBeNull();
  });

  describe('of real connections', () => {
    const sockets: Socket[] = [];
    afterEach(() => {
      for (const socket of sockets.splice(0)) socket.destroy();
    });

    it.each(['127.0.0.1', '::1'])('is us, on %s, while it is open', async (host) => {
      const listening = createServer((socket) => void sockets.push(socket)).listen(0, host);
      await once(listening, 'listening');
      const { port } = listening.address() as AddressInfo;
      const own = connect(port, host);
      await once(own, 'connect');
      const ports = { localPort: port, remotePort: own.localPort! };
      expect(await peerUserId(ports)).toBe(process.getuid!());
      own.destroy();
      await waitFor(async () => (await peerUserId(ports)) === null, { what: 'the end of it' });
      listening.close();
    });
  });
});
