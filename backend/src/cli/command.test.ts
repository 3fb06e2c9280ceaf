import { describe, expect, it } from 'vitest';
import { DIFFICULT_NAMES } from '../../../test/support/names.js';
import { parse, parseWords, seconds, UsageError } from './command.js';

describe('parse', () => {
  const options = {
    json: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
  } as const;

  it('reads options, and knows their defaults', () => {
    expect(parse(['--only', 'a', '--only=b'], options)).toEqual({ json: false, only: ['a', 'b'] });
  });

  it.each([[['--jsn']], [['--only']], [['--json=yes']], [['stray']]])('refuses %j as wrong usage', (args) => {
    expect(() => parse(args, options)).toThrow(UsageError);
  });
});

describe('parseWords', () => {
  const options = { json: { type: 'boolean', default: false } } as const;
  const expected = ['SERVICE', '[COUNT]'];

  it.each([
    [
      ['My API, v2', '-1'],
      ['My API, v2', '-1'],
    ],
    [
      ['--json', 'api', '+1'],
      ['api', '+1'],
    ],
    [
      ['api', '-12', '--json'],
      ['api', '-12'],
    ],
    [['api'], ['api']],
  ])('finds in %j the words %j', (args, words) => {
    expect(parseWords(args, options, expected).words).toEqual(words);
  });

  it.each([[[]], [['--json']], [['My', 'API', 'v2']], [['api', '-x']]])(
    'refuses %j as wrong usage',
    (args) => {
      expect(() => parseWords(args, options, expected)).toThrow(UsageError);
    },
  );
});

it.each([...DIFFICULT_NAMES])('reads %s behind --, whatever it looks like', (name) => {
  const options = { json: { type: 'boolean', default: false } } as const;
  expect(parseWords(['--json', '--', name, '2'], options, ['SERVICE', 'COUNT'])).toMatchObject({
    words: [name, '2'],
    values: { json: true },
  });
  if (name === '-dash')
    expect(() => parseWords([name, '2'], options, ['SERVICE', 'COUNT'])).toThrow('goes last, behind `--`');
});

describe('seconds', () => {
  it.each([
    ['1', 1],
    ['3600', 3_600],
  ])('takes %s', (text, value) => expect(seconds('timeout', text)).toBe(value));

  it.each(['0', '3601', '-1', '1.5', 'soon', '', ' 5'])('refuses "%s"', (text) => {
    expect(() => seconds('timeout', text)).toThrow(/--timeout is ".*"; it must be a whole number of seconds/);
  });
});
