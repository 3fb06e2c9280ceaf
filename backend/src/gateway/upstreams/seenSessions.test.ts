import { describe, expect, it } from 'vitest';
import { hashText } from '../../domain/balancing/hash.js';
import { SEEN_STEP_MS, SeenSessions } from './seenSessions.js';

const client = (): { notedIn: number; notedAddress: string } => ({ notedIn: -1, notedAddress: '' });
const cookie = (id: string): { notedIn: number; hash: number } => ({ notedIn: -1, hash: hashText(id) });

describe('SeenSessions', () => {
  it('tells of a client once a minute, on however many connections', () => {
    const seen = new SeenSessions();
    const [first, second] = [client(), client()];
    for (let i = 0; i < 10; i += 1) {
      seen.client(first, '10.0.0.1');
      seen.client(second, '10.0.0.1');
    }
    const marks = seen.take();
    expect(marks).toHaveLength(1);
    expect(seen.take()).toEqual([]);
    seen.passTime(SEEN_STEP_MS);
    seen.client(first, '10.0.0.1');
    expect(seen.take()).toEqual(marks);
  });

  it('tells the clients of a proxy apart, though they come over one connection', () => {
    const seen = new SeenSessions();
    const proxy = client();
    for (const address of ['10.0.0.1', '10.0.0.2', '10.0.0.1', '2001:db8::2']) seen.client(proxy, address);
    expect(seen.take()).toHaveLength(3);
  });

  it('tells of a cookie once a minute', () => {
    const seen = new SeenSessions();
    const [a, b] = [cookie('a'), cookie('b')];
    for (const each of [a, b, a, b]) seen.cookie(each);
    expect(seen.take()).toHaveLength(2);
  });

  it('has no more to tell than a message of its primary may hold', () => {
    const seen = new SeenSessions();
    for (let i = 0; i < 200_000; i += 1) seen.client(client(), `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
    expect(seen.take().length).toBeLessThanOrEqual(16_384);
  });
});
