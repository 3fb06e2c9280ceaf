import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { farewellsPerLook, isListeningOver, killTimeoutMs, LOOK_MS, stepFor, timeAllowedMs } from './plan.js';

describe('what is done with a connection', () => {
  it('a request under way is waited for, however silent it is', () => {
    expect(stepFor({ kind: 'http', underWay: true, quietMs: 1e6 })).toBe('wait');
  });

  it('one that carries no request is closed after half a second of silence, not before', () => {
    expect(stepFor({ kind: 'http', underWay: false, quietMs: 499 })).toBe('wait');
    expect(stepFor({ kind: 'http', underWay: false, quietMs: 500 })).toBe('close');
  });

  it('HTTP/2 is told once, and waited for until it is gone', () => {
    expect(stepFor({ kind: 'http2', toldMs: null })).toBe('tell');
    expect(stepFor({ kind: 'http2', toldMs: 1e6 })).toBe('wait');
  });

  it('a WebSocket is told, and has two seconds to answer', () => {
    expect(stepFor({ kind: 'websocket', toldMs: null })).toBe('tell');
    expect(stepFor({ kind: 'websocket', toldMs: 1_999 })).toBe('wait');
    expect(stepFor({ kind: 'websocket', toldMs: 2_000 })).toBe('leave');
  });

  it('what can’t be read is never touched, and waited for while it speaks', () => {
    expect(stepFor({ kind: 'opaque', quietMs: 1_999 })).toBe('wait');
    expect(stepFor({ kind: 'opaque', quietMs: 2_000 })).toBe('leave');
  });
});

describe('listening', () => {
  it('ends when nobody has come for 200 ms, and after half a second in any case', () => {
    expect(isListeningOver(199, 199)).toBe(false);
    expect(isListeningOver(200, 200)).toBe(true);
    expect(isListeningOver(499, 0)).toBe(false);
    expect(isListeningOver(500, 0)).toBe(true);
  });
});

describe('the time a stop may take', () => {
  it('leaves a margin before the kill', () => {
    expect(timeAllowedMs(10_000)).toBe(9_000);
    expect(timeAllowedMs(60_000)).toBe(59_000);
    expect(timeAllowedMs(1_600)).toBe(1_440);
    expect(timeAllowedMs(300)).toBe(200);
  });

  it('is always positive, and always before the kill', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3_600_000 }), (killMs) => {
        const allowedMs = timeAllowedMs(killMs);
        expect(allowedMs).toBeGreaterThan(0);
        expect(allowedMs).toBeLessThan(killMs);
        expect(allowedMs).toBeGreaterThanOrEqual(killMs / 2);
      }),
    );
  });

  it('is what PM2 will do, or what the supervisor says where there is no PM2', () => {
    expect(killTimeoutMs(10_000, {})).toBe(10_000);
    expect(killTimeoutMs(10_000, { pm_id: '0', kill_timeout: '3000' })).toBe(3_000);
    expect(killTimeoutMs(5_000, { pm_id: '0', kill_timeout: '30000' })).toBe(30_000);
    expect(killTimeoutMs(10_000, { pm_id: '0' })).toBe(1_600);
    expect(killTimeoutMs(10_000, { pm_id: '0', kill_timeout: 'soon' })).toBe(1_600);
    expect(killTimeoutMs(10_000, { kill_timeout: '3000' })).toBe(10_000); // somebody else's variable
  });
});

describe('farewells', () => {
  it('of all WebSockets fit into a tenth of the time, and few are told at once', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 100_000 }),
        fc.integer({ min: 50, max: 60_000 }),
        (websockets, allowedMs) => {
          const perLook = farewellsPerLook(websockets, allowedMs);
          expect(perLook).toBeGreaterThanOrEqual(1);
          const looks = Math.ceil(websockets / perLook);
          expect(looks * LOOK_MS).toBeLessThanOrEqual(Math.max(allowedMs / 10, LOOK_MS) + LOOK_MS);
        },
      ),
    );
    expect(farewellsPerLook(2_000, 9_000)).toBe(56);
  });
});
