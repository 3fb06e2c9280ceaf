import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { DIFFICULT_NAMES } from '../../../test/support/names.js';
import { fileName, operand, quoted } from './words.js';

describe.each([...DIFFICULT_NAMES])('%s', (name) => {
  it('reaches a program through a shell as it is', () => {
    const script = `node -e 'process.stdout.write(process.argv[1])' -- ${quoted(name)}`;
    expect(execFileSync('sh', ['-c', script], { encoding: 'utf8' })).toBe(name);
  });

  it('is no option as the last word of a command', () => {
    expect(operand(name).startsWith('-')).toBe(name.startsWith('-') && operand(name).startsWith('-- '));
  });

  it('is one file name', () => {
    expect(fileName(name)).toMatch(/^[\w%-]+$/);
  });
});

it('gives every name a file of its own', () => {
  const long = 'ü'.repeat(200);
  const names = [...DIFFICULT_NAMES, 'my api', 'a-b', 'a_b', long, `${long}2`, ''];
  expect(new Set(names.map(fileName)).size).toBe(names.length);
});

it('leaves a plain name as it is', () => {
  expect(fileName('shop-backend')).toBe('shop-backend');
});
