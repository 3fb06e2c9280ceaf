import { isIP } from 'node:net';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ipVersion, isAddressRange } from './ipAddress.js';

it('knows addresses as node:net does', () => {
  const soup = fc.string({ unit: fc.constantFrom(...'0123456789abcfF:.') });
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), soup), (text) => {
      expect(ipVersion(text)).toBe(isIP(text));
    }),
    { numRuns: 5_000 },
  );
  for (const text of ['01.2.3.4', '0.0.0.0', '1.2.3.00', '::01.2.3.4', '::0.0.0.0', '1.2.3.4%1']) {
    expect(ipVersion(text), text).toBe(isIP(text));
  }
});

it('knows ranges', () => {
  for (const range of [
    '10.0.0.0/8',
    '10.1.2.3',
    '::1',
    'fd00::/8',
    '::/0',
    '0.0.0.0/0',
    '::1/128',
    '1.2.3.4/32',
  ]) {
    expect(isAddressRange(range), range).toBe(true);
  }
  for (const range of [
    '',
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/',
    '10.0.0/8',
    'localhost/8',
    '10.0.0.0/8/8',
    '/8',
    '::1/-1',
  ]) {
    expect(isAddressRange(range), range).toBe(false);
  }
});
