import { expect, it } from 'vitest';
import { readableLine } from './readableLine.js';

it.each([
  ['plain text', 'plain text'],
  [
    '{"timestamp":"2026","level":"info","service":"shop","message":"listening","port":1}',
    'listening  port=1',
  ],
  ['{"level":"warn","message":"no secret","hint":"set one"}', 'warn: no secret  hint="set one"'],
  // pino's
  ['{"level":50,"msg":"broken","err":{"code":"E"}}', '50: broken  err={"code":"E"}'],
  // Not the frame of a log line.
  ['{"level":"info"}', '{"level":"info"}'],
  ['{broken', '{broken'],
  ['null', 'null'],
  // Colours stay; what else would steer the terminal does not.
  ['\u001b[31mred\u001b[0m\tx\u001b[2J\u0007', '\u001b[31mred\u001b[0m\tx [2J '],
])('%j', (line, shown) => {
  expect(readableLine(line)).toBe(shown);
});
