import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import type { TcpSockets } from '../../ports.js';
import { StrandedRequests } from './strandedRequests.js';
import type { UpstreamConnection } from './upstreamConnection.js';

const PORT = 13_004;
const HEAD_BYTES = 300;

/** What a connection looks like: its own port, what was written on it, and what of that has not left yet. */
interface Lent {
  readonly localPort: number;
  bytesWritten: number;
  writableLength: number;
  /** null: the other end is not on this machine. */
  unread: number | null;
  ended: boolean;
}

const lent = (changes: Partial<Lent> = {}): Lent => ({
  localPort: 40_000,
  bytesWritten: HEAD_BYTES,
  writableLength: 0,
  unread: HEAD_BYTES,
  ended: false,
  ...changes,
});

class Scene {
  readonly clock = new FakeClock();
  /** What listens on the port. */
  listeners = new Set(['before']);
  known = true;
  looks = 0;
  readonly #lent: readonly Lent[];
  readonly #stranded: StrandedRequests;

  constructor(...connections: readonly Lent[]) {
    this.#lent = connections;
    const asConnections = connections.map((one) => {
      const socket = Object.assign(one, { remotePort: PORT });
      return { socket, abandon: () => (one.ended = true) } as unknown as UpstreamConnection;
    });
    this.#stranded = new StrandedRequests({
      clock: this.clock,
      sockets: () => Promise.resolve(this.#sockets()),
      unanswered: () => asConnections.filter((_, index) => !connections[index]!.ended),
    });
    this.#stranded.start();
  }

  #sockets(): TcpSockets | null {
    this.looks += 1;
    if (!this.known) return null;
    const listening = new Set(this.listeners);
    return {
      listeners: (port) => (port === PORT ? listening : new Set()),
      unreadBytes: (localPort) => this.#lent.find((one) => one.localPort === localPort)?.unread ?? null,
    };
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 50) {
      await this.clock.advance(50);
      for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
    }
  }

  close(): void {
    this.#stranded.close();
  }
}

describe('while the gateway stops, a request whose answer has not begun', () => {
  it.each<[string, Partial<Lent>, (scene: Scene) => void, boolean]>([
    [
      'ends when it lies unread and nothing listens there any more',
      {},
      (scene) => scene.listeners.clear(),
      true,
    ],
    [
      'ends also when another process listens there by now',
      {},
      (scene) => (scene.listeners = new Set(['after'])),
      true,
    ],
    [
      'ends also when its body is too long for what the kernel keeps',
      { bytesWritten: 900_000, writableLength: 100_000, unread: 800_000 },
      (scene) => scene.listeners.clear(),
      true,
    ],
    ['is waited for while the port is open: its instance is busy', {}, () => undefined, false],
    ['is waited for while one of two listeners is left', {}, (scene) => scene.listeners.add('second'), false],
    [
      'is waited for when it was read: its instance is slow, and finishes as it stops',
      { unread: 0 },
      (scene) => scene.listeners.clear(),
      false,
    ],
    [
      'is waited for when a part of it was read',
      { bytesWritten: 100_000, unread: 60_000 },
      (scene) => scene.listeners.clear(),
      false,
    ],
    [
      'is waited for when its connection has served before',
      { bytesWritten: 2 * HEAD_BYTES },
      (scene) => scene.listeners.clear(),
      false,
    ],
    [
      'is waited for when nothing of it has left yet',
      { bytesWritten: HEAD_BYTES, writableLength: HEAD_BYTES, unread: 0 },
      (scene) => scene.listeners.clear(),
      false,
    ],
    [
      'is waited for when its instance is on another machine',
      { unread: null },
      (scene) => scene.listeners.clear(),
      false,
    ],
  ])('%s', async (_, changes, happen, ends) => {
    const one = lent(changes);
    const scene = new Scene(one);
    await scene.pass(100);
    happen(scene);
    await scene.pass(1_500);
    expect(one.ended).toBe(ends);
    scene.close();
  });

  it('ends a second after its instance, not before', async () => {
    const one = lent();
    const scene = new Scene(one);
    await scene.pass(100);
    scene.listeners.clear();
    await scene.pass(900);
    expect(one.ended).toBe(false);
    // It was read at last: from here on it has the whole time again.
    one.unread = 0;
    await scene.pass(500);
    one.unread = HEAD_BYTES;
    await scene.pass(900);
    expect(one.ended).toBe(false);
    await scene.pass(500);
    expect(one.ended).toBe(true);
    scene.close();
  });

  it('ends alone: its neighbours on the same instance are waited for', async () => {
    const [stranded, slow] = [lent(), lent({ localPort: 40_001, unread: 0 })];
    const scene = new Scene(stranded, slow);
    scene.listeners.clear();
    await scene.pass(1_500);
    expect([stranded.ended, slow.ended]).toEqual([true, false]);
    scene.close();
  });
});

it('asks no more once the system did not tell', async () => {
  const scene = new Scene(lent());
  scene.known = false;
  await scene.pass(2_000);
  // Once before, once since.
  expect(scene.looks).toBe(2);
});

it('does not look while no request waits, and not after its end', async () => {
  const one = lent({ ended: true });
  const scene = new Scene(one);
  await scene.pass(1_000);
  expect(scene.looks).toBe(0);
  one.ended = false;
  await scene.pass(500);
  expect(scene.looks).toBeGreaterThan(0);
  const { looks } = scene;
  scene.close();
  await scene.pass(1_000);
  expect(scene.looks).toBe(looks);
});
