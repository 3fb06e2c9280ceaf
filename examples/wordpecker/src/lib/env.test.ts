import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EnvReader, type SettingsError } from './env.js';

function problemsOf(reader: EnvReader): readonly string[] {
  try {
    reader.finish();
    return [];
  } catch (error) {
    return (error as SettingsError).problems;
  }
}

describe('EnvReader', () => {
  it('takes defaults for what is missing or empty', () => {
    const reader = new EnvReader({ EMPTY: '', BLANK: '  ' });
    expect(reader.integer('EMPTY', 7, 0, 10)).toBe(7);
    expect(reader.text('BLANK')).toBeNull();
    expect(reader.flag('MISSING')).toBe(false);
    expect(reader.url('MISSING', ['http:'])).toBeNull();
    expect(problemsOf(reader)).toEqual([]);
  });

  it('names every problem at once, with the value and what is allowed', () => {
    const reader = new EnvReader({ PORT: '99999', FLAG: 'yes', KIND: 'c', URL: 'nope:secret' });
    reader.integer('PORT', 1, 0, 65_535);
    reader.flag('FLAG');
    reader.oneOf('KIND', ['a', 'b']);
    reader.url('URL', ['redis:', 'rediss:']);
    expect(problemsOf(reader)).toEqual([
      'PORT is "99999": give a whole number from 0 to 65535',
      'FLAG is "yes": give true or false',
      'KIND is "c": give one of a, b',
      'URL is not a URL: give one that begins with redis:// or rediss://',
    ]);
  });

  it('takes an integer exactly when it is digits within the range', () => {
    fc.assert(
      fc.property(fc.oneof(fc.integer().map(String), fc.string()), (text) => {
        const reader = new EnvReader({ N: text });
        const value = reader.integer('N', -1, 0, 1000);
        const trimmed = text.trim();
        const valid = /^\d+$/.test(trimmed) && Number(trimmed) <= 1000;
        expect(value).toBe(valid ? Number(trimmed) : -1);
        expect(problemsOf(reader).length).toBe(valid || trimmed === '' ? 0 : 1);
      }),
    );
  });
});
