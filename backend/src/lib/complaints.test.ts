import { expect, test } from 'vitest';
import { silentLogger } from '../../../test/support/recordedEvents.js';
import { Complaints } from './complaints.js';

function complaining() {
  const told: { message: string; fields: unknown }[] = [];
  const clock = { nowMs: 0 };
  const logger = {
    ...silentLogger,
    warn: (message: string, fields: unknown) => void told.push({ message, fields }),
  };
  return { told, clock, complaints: new Complaints(logger, () => clock.nowMs) };
}

test('the same is told once, and after ten minutes with how often it was meanwhile', () => {
  const { told, clock, complaints } = complaining();
  for (let i = 0; i < 50; i++) complaints.complain('line', 'a bad line', { pid: i });
  complaints.complain('other', 'something else');
  expect(told).toEqual([
    { message: 'a bad line', fields: { pid: 0 } },
    { message: 'something else', fields: {} },
  ]);
  clock.nowMs = 10 * 60_000;
  complaints.complain('line', 'a bad line', { pid: 99 });
  expect(told.at(-1)).toEqual({ message: 'a bad line', fields: { pid: 99, alsoMeanwhile: 49 } });
});

test('peers who choose what is complained about cannot fill the log', () => {
  const { told, complaints } = complaining();
  for (let protocol = 0; protocol < 10_000; protocol++)
    complaints.complain(`protocol ${protocol}`, 'foreign');
  expect(told).toHaveLength(100);
});
