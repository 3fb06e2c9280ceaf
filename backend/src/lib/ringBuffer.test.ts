import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { RingBuffer } from './ringBuffer.js';

type Step = { readonly push: number } | 'shift';

const steps = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ push: fc.integer() }) },
    { weight: 2, arbitrary: fc.constant<Step>('shift') },
  ),
);

describe('RingBuffer', () => {
  it('behaves like an array that forgets its oldest items', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), steps, (capacity, sequence) => {
        const buffer = new RingBuffer<number>(capacity);
        const model: number[] = [];
        for (const step of sequence) {
          if (step === 'shift') {
            expect(buffer.shift()).toBe(model.shift());
          } else {
            model.push(step.push);
            expect(buffer.push(step.push)).toBe(model.length > capacity ? model.shift() : undefined);
          }
          expect(buffer.toArray()).toEqual(model);
          expect(buffer.size).toBe(model.length);
        }
      }),
    );
  });

  it('refuses a capacity that is not a whole number from 1', () => {
    for (const capacity of [0, -1, 1.5, Number.NaN]) {
      expect(() => new RingBuffer(capacity)).toThrow(/whole number from 1; got/);
    }
  });
});
