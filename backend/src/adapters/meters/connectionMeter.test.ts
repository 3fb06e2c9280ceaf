import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { platform } from 'node:os';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../clock.js';
import { waitFor } from '../../../../test/support/waitFor.js';
import { createConnectionMeter } from './connectionMeter.js';

const HEAD =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
/** Number, local port, state, unread bytes. */
const line = (sl: number, port: number, state: string, unread: number): string =>
  `${String(sl).padStart(4)}: 0100007F:${hex(port, 4)} 0100007F:D2F0 ${state} 00000000:${hex(unread, 8)} 00:00000000 00000000  1000        0 31337 1 0000000000000000 100 0 0 10 0\n`;
const hex = (value: number, digits: number): string => value.toString(16).toUpperCase().padStart(digits, '0');

function meterOf(files: Readonly<Record<string, string>>, now = () => 0) {
  const clock = { ...systemClock, nowMs: now };
  return createConnectionMeter(clock, (file) => {
    const text = files[file];
    return text === undefined ? Promise.reject(new Error('ENOENT')) : Promise.resolve(text);
  });
}

describe('connections that wait to be read', () => {
  it('counts established ones with unread bytes, by local port, of both families', async () => {
    const tcp = [
      line(0, 4000, '0A', 128), // listens
      line(1, 4000, '01', 79),
      line(2, 4000, '01', 0), // idle
      line(3, 4000, '08', 79), // its client has gone
      line(4, 4001, '01', 12),
      line(5, 4002, '06', 12), // closed
      line(12345, 4000, '01', 1),
    ];
    const meter = meterOf({
      '/proc/net/tcp': HEAD + tcp.join(''),
      '/proc/net/tcp6': HEAD + line(0, 4001, '01', 3).replaceAll('0100007F', '0'.repeat(32)),
    });
    expect([...((await meter.unread()) ?? [])].sort()).toEqual([
      [4000, 2],
      [4001, 2],
    ]);
  });

  it('knows nothing where there are no such files, and is not confused by half a line', async () => {
    expect(await meterOf({}).unread()).toBeNull();
    for (const text of ['', HEAD, 'garbage', `${HEAD}garbage`, HEAD + line(0, 4000, '01', 5).slice(0, 20)]) {
      expect(await meterOf({ '/proc/net/tcp': text }).unread()).toEqual(new Map());
    }
  });

  it('rests for twenty times of what a look has cost; meanwhile the last answer stands', async () => {
    let nowMs = 0;
    let connections = 5_000; // 0.7 MB: 10 ms, so 200 ms of rest
    const clock = { ...systemClock, nowMs: () => nowMs };
    const meter = createConnectionMeter(clock, (file) =>
      Promise.resolve(file.endsWith('6') ? HEAD : HEAD + line(0, 4000, '01', 5).repeat(connections)),
    );
    const look = async () => (await meter.unread())?.get(4000) ?? null;
    expect(await look()).toBe(5_000);
    connections = 3;
    nowMs = 150;
    expect(await look()).toBe(5_000);
    nowMs = 250;
    expect(await look()).toBe(3);
  });

  it('keeps nobody waiting for a look that lasts, and lets no answer stand for longer than ten seconds', async () => {
    let nowMs = 0;
    let finish = (): void => undefined;
    const timers: (() => void)[] = [];
    const clock = {
      ...systemClock,
      nowMs: () => nowMs,
      after: (_delayMs: number, run: () => void) => {
        timers.push(run);
        return () => undefined;
      },
    };
    const meter = createConnectionMeter(clock, (file) =>
      file.endsWith('6')
        ? Promise.resolve(HEAD)
        : new Promise((resolve) => {
            finish = () => resolve(HEAD + line(0, 4000, '01', 5));
          }),
    );
    const first = meter.unread();
    timers.pop()?.();
    expect(await first).toBeNull();
    const second = meter.unread();
    finish();
    expect((await second)?.get(4000)).toBe(1);
    nowMs = 9_999;
    const third = meter.unread();
    timers.pop()?.();
    expect((await third)?.get(4000)).toBe(1);
    nowMs = 10_000;
    const fourth = meter.unread();
    timers.pop()?.();
    expect(await fourth).toBeNull();
    finish();
  });
});

describe.runIf(platform() === 'linux')('on this machine', () => {
  it('sees requests that their process has not read', async () => {
    const sockets: Socket[] = [];
    const server = createServer({ pauseOnConnect: true }, (socket) => sockets.push(socket));
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const { port } = server.address() as AddressInfo;
    for (let i = 0; i < 3; i++) {
      const socket = connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\n'));
      sockets.push(socket);
    }
    const meter = createConnectionMeter(systemClock);
    try {
      await waitFor(async () => (await meter.unread())?.get(port) === 3, {
        what: 'three connections with unread bytes',
      });
    } finally {
      for (const socket of sockets) socket.destroy();
      server.close();
    }
  });
});
