import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FIGURES } from '../../../../test/support/agentFrames.js';
import { readMessage, type Message } from './messages.js';

const AT = { nowMs: 5_000, wallMs: 1_700_000_000_000 };
const read = (value: unknown): Message => readMessage(JSON.stringify(value), AT);

describe('readMessage', () => {
  test('reads figures: the share of time as percent, with the time of arrival', () => {
    const { type: _type, seq: _seq, elu: _elu, ...same } = FIGURES;
    expect(read(FIGURES)).toEqual({
      kind: 'figures',
      seq: 7,
      figures: { ...same, eluPercent: 25, atMs: 5_000 },
    });
    expect(read({ ...FIGURES, from: 'a later version' })).toMatchObject({ kind: 'figures' });
  });

  test('takes no figures with anything missing or of another kind', () => {
    for (const field of Object.keys(FIGURES)) {
      const { [field]: _gone, ...others } = FIGURES as Record<string, unknown>;
      expect([field, read(others).kind]).toEqual([field, 'bad']);
      if (field === 'type') continue;
      for (const wrong of ['1', {}, [1], -1, true].filter((value) => typeof value !== typeof others)) {
        if (field === 'debugged' && wrong === true) continue;
        expect([field, wrong, read({ ...FIGURES, [field]: wrong }).kind]).toEqual([field, wrong, 'bad']);
      }
    }
    for (const line of ['1e999', 'null', '-0.1', 'NaN']) {
      expect(
        readMessage(JSON.stringify(FIGURES).replace('"rssBytes":60000000', `"rssBytes":${line}`), AT).kind,
      ).toBe('bad');
    }
    for (const latency of [[1], [62, 1], [1.5, 1], [0, -1], Array(200).fill(0)]) {
      expect(read({ ...FIGURES, latency }).kind).toBe('bad');
    }
    expect(read({ ...FIGURES, statuses: [1, 2, 3, 4] }).kind).toBe('bad');
  });

  test('cuts a hang to size and takes out what a terminal would act upon, and queries', () => {
    const hang = {
      type: 'hang',
      hang: 1,
      silentMs: 1_010,
      where: 'javascript',
      stack: Array.from({ length: 500 }, (_, at) => `f${at} \u001b[31m(${'x'.repeat(900)})`),
      detail: 'blocked\nfor 1.0 s',
      requests: Array.from({ length: 50 }, () => ({ method: 'GET', path: '/pay?card=1234', ageMs: 3 })),
    };
    const message = read(hang);
    if (message.kind !== 'hang') throw new Error('not read');
    expect(message.hang.stack).toHaveLength(64);
    expect(message.hang.stack[0]).toMatch(/^f0 {2}\[31m\(x+…$/);
    expect(message.hang.stack[0]).toHaveLength(500);
    expect(message.hang.detail).toBe('blocked for 1.0 s');
    expect(message.hang.requests).toHaveLength(10);
    expect(message.hang.requests[0]).toEqual({ method: 'GET', path: '/pay', ageMs: 3 });
    expect(read({ ...hang, where: 'elsewhere' }).kind).toBe('bad');
    expect(read({ ...hang, requests: [1] }).kind).toBe('bad');
    expect(read({ ...hang, stack: 'f' }).kind).toBe('bad');
  });

  test('an attachment may be wide but not bottomless', () => {
    const attachment = {
      type: 'attachment',
      kind: 'report',
      content: { wide: Array.from({ length: 10_000 }, () => ({ a: [1] })) },
    };
    expect(read(attachment)).toMatchObject({ kind: 'attachment', attachment: { atWallMs: AT.wallMs } });
    const deep = `{"type":"attachment","kind":"report","content":{"a":${'['.repeat(500_000)}${']'.repeat(500_000)}}}`;
    expect(readMessage(deep, AT)).toMatchObject({ kind: 'bad' });
    expect(read({ ...attachment, content: 'text' }).kind).toBe('bad');
    expect(read({ ...attachment, kind: 'core-dump' }).kind).toBe('bad');
  });

  test('reads the rest, and leaves alone what a later version may say', () => {
    const hello = { type: 'hello', protocol: 1, pid: 42, agent: '1.0.0', node: 'v20', startedAtMs: 3 };
    expect(read(hello)).toMatchObject({ kind: 'hello', hello: { pid: 42, agentVersion: '1.0.0' } });
    for (const pid of [0, -1, 1.5, 1e12, '42']) expect(read({ ...hello, pid }).kind).toBe('bad');
    expect(read({ type: 'recovered', hang: 2, silentMs: 1_500 })).toEqual({
      kind: 'recovered',
      hang: 2,
      silentMs: 1_500,
    });
    expect(read({ type: 'stopping', signal: 'SIGINT', draining: true })).toMatchObject({ kind: 'stopping' });
    expect(read({ type: 'something-new', at: 1 })).toEqual({ kind: 'unknown' });
  });

  test('where a process listens', () => {
    const at = { address: '::1', port: 3000 };
    const refused = { code: 'EADDRINUSE', ...at };
    const told = { type: 'listening', addresses: [at], refused };
    expect(read(told)).toEqual({
      kind: 'listening',
      listening: { addresses: [at], isCertain: true, refused },
    });
    expect(read({ ...told, refused: null })).toMatchObject({ listening: { refused: null } });
    const many = read({ ...told, addresses: Array.from({ length: 1_000 }, () => at) });
    expect(many.kind === 'listening' && many.listening.addresses.length).toBe(64);
    const wrong = [
      { addresses: at },
      { addresses: [{ ...at, port: 70_000 }] },
      { refused: { ...at, code: 1 } },
      { refused: 3 },
    ];
    for (const change of wrong) expect(read({ ...told, ...change }).kind).toBe('bad');
  });

  test('never throws, whatever it is given', () => {
    fc.assert(fc.property(fc.string(), (line) => void readMessage(line, AT)));
    fc.assert(
      fc.property(fc.constantFrom('hello', 'figures', 'hang', 'attachment'), fc.object(), (type, fields) => {
        expect(read({ ...fields, type }).kind).toBe('bad');
      }),
    );
  });
});
