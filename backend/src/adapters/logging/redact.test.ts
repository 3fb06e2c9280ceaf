import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { redactFields, redactText } from './redact.js';

describe('redactFields', () => {
  it.each([
    'token', 'HA_API_TOKEN', 'sessionSecret', 'password', 'passwd', 'Authorization', 'Set-Cookie', 'LOG_SQL_DSN',
    'apiKey', 'private_key', 'REDIS_CONN_STRING', 'env', 'pm2_env', 'environment', 'notifyWebhookUrl', 'credentials',
  ])('hides %s at any depth', (key) => {
    const logged = JSON.stringify(redactFields({ [key]: 'hush', list: [{ inner: { [key]: { a: 'hush' } } }] }));
    expect(logged).not.toContain('hush');
    expect(logged).toContain('[redacted]');
  }); // prettier-ignore

  it('leaves what is no secret', () => {
    const fields = {
      service: 'shop',
      ecosystemEnv: 'production',
      attempts: 2,
      pid: null,
      ok: true,
      ports: [1, 2],
    };
    expect(redactFields(fields)).toEqual(fields);
    expect(redactFields({ token: null, password: false })).toEqual({ token: null, password: false });
  });

  it('makes anything plain', () => {
    const loop: Record<string, unknown> = { name: 'loop' };
    loop['self'] = loop;
    const cause = Object.assign(new Error('no route'), { code: 'EHOSTUNREACH' });
    const fields = {
      loop,
      big: 12n,
      when: new Date(0),
      never: new Date(Number.NaN),
      map: new Map([['password', 'x']]),
      set: new Set([1]),
      bytes: Buffer.from('abc'),
      error: new Error('failed', { cause }),
      run: function run() {},
      twice: [fc, fc].length,
    };
    expect(redactFields(fields)).toMatchObject({
      loop: { name: 'loop', self: '[circular]' },
      big: '12',
      when: '1970-01-01T00:00:00.000Z',
      never: 'invalid date',
      map: { password: '[redacted]' },
      set: [1],
      bytes: '[3 bytes]',
      error: { name: 'Error', message: 'failed', cause: { message: 'no route', code: 'EHOSTUNREACH' } },
      run: '[function run]',
    });
  });

  it('bounds depth, width and length', () => {
    let deep: unknown = 'bottom';
    for (let i = 0; i < 50; i += 1) deep = { deep };
    const wide = Array.from({ length: 10_000 }, (_, i) => i);
    const logged = JSON.stringify(redactFields({ deep, wide, long: 'x'.repeat(1_000_000) }));
    expect(logged.length).toBeLessThan(10_000);
    expect(logged).toContain('[deep]');
  });

  const withoutText = Object.create(null) as object;
  const throwing = {
    get password(): string {
      throw new Error('no');
    },
    get shown(): string {
      throw new Error('no');
    },
  };
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  it.each<[string, unknown, unknown]>([
    ['a getter that throws', throwing, { password: '[unreadable]', shown: '[unreadable]' }],
    ['a revoked proxy', revoked.proxy, '[unreadable]'],
    ['a list with one', [1, revoked.proxy], [1, '[unreadable]']],
    ['a map whose key has no text', new Map([[withoutText, 1]]), { '[unreadable]': 1 }],
    ['an error whose code has no text', Object.assign(new Error('x'), { code: withoutText, stack: undefined }), { name: 'Error', message: 'x', code: '[unreadable]' }],
    ['an error whose message is an object', Object.assign(new Error('x'), { message: { token: 'hush' }, stack: undefined }), { name: 'Error', message: { token: '[redacted]' } }],
    ['a function whose name has no text', Object.defineProperty(() => 0, 'name', { value: withoutText }), '[unreadable]'],
    ['an object with a toJSON that throws', { toJSON: () => { throw new Error('no'); } }, { toJSON: '[function toJSON]' }],
  ])('shows %s, and what is beside it', (_, value, shown) => {
    expect(redactFields({ value, beside: 1 })).toEqual({ value: shown, beside: 1 });
  }); // prettier-ignore

  it('always yields something that JSON can carry', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.anything({ withBigInt: true, withDate: true, withMap: true })),
        (fields) => {
          expect(() => JSON.stringify(redactFields(fields))).not.toThrow();
        },
      ),
    );
  });
});

describe('redactText', () => {
  it('hides credentials in URLs', () => {
    expect(redactText('connect redis://user:hush@host:6379/0 failed')).toBe(
      'connect redis://[redacted]@host:6379/0 failed',
    );
    expect(redactText('https://example.org/a@b')).toBe('https://example.org/a@b');
  });
});
