import { describe, expect, it } from 'vitest';

import type { AnswerClasses } from './gatewayStats.js';
import { conditionOf, overall } from './serviceCondition.js';
import { NO_TRAFFIC } from './trafficCounters.js';

const traffic = (good: number, bad: number): typeof NO_TRAFFIC => ({
  ...NO_TRAFFIC,
  answers: [0, good, 0, 0, bad] satisfies AnswerClasses,
});

describe('conditionOf', () => {
  it.each([
    ['up', 'all serve', { usable: 3, missing: 0, recent: traffic(100, 4) }],
    ['up', 'one drains, by plan', { usable: 1, missing: 0, recent: NO_TRAFFIC }],
    ['up', 'a few bad answers say nothing', { usable: 1, missing: 0, recent: traffic(1, 18) }],
    [
      'up',
      '4xx are the clients’',
      { usable: 1, missing: 0, recent: { ...NO_TRAFFIC, answers: [0, 0, 0, 99, 0] } },
    ],
    ['degraded', 'one of two is missing', { usable: 1, missing: 1, recent: traffic(100, 0) }],
    ['degraded', '5 % go wrong', { usable: 2, missing: 0, recent: traffic(95, 5) }],
    [
      'degraded',
      'all failed their checks, but it fails open',
      { usable: 0, missing: 2, recent: traffic(50, 2) },
    ],
    ['down', 'nothing serves', { usable: 0, missing: 2, recent: NO_TRAFFIC }],
    ['down', 'nothing is there', { usable: 0, missing: 0, recent: NO_TRAFFIC }],
    ['down', 'half goes wrong', { usable: 2, missing: 0, recent: traffic(10, 10) }],
    [
      'down',
      'no answers at all',
      { usable: 2, missing: 0, recent: { ...NO_TRAFFIC, failures: 30, retries: 5 } },
    ],
    [
      'up',
      'every failure was made good elsewhere',
      { usable: 2, missing: 0, recent: { ...traffic(30, 0), failures: 9, retries: 9 } },
    ],
  ] as const)('%s: %s', (expected, _why, input) => {
    expect(conditionOf(input)).toBe(expected);
  });
});

it('takes several together', () => {
  expect(overall(['up', 'up'])).toBe('up');
  expect(overall(['up', 'down'])).toBe('degraded');
  expect(overall(['degraded', 'degraded'])).toBe('degraded');
  expect(overall(['down', 'down'])).toBe('down');
  expect(overall([])).toBe('down');
});
