import fc from 'fast-check';
import { expect, it } from 'vitest';
import { AliasTable } from './aliasTable.js';

it('draws every index with its weight’s share, exactly', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 12 }), (weights) => {
      const table = new AliasTable(weights);
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const counts = weights.map(() => 0);
      const steps = 20_000;
      // Over a regular grid every share shows to within a step per column boundary.
      for (let step = 0; step < steps; step += 1) counts[table.draw((step + 0.5) / steps)]! += 1;
      for (const [index, count] of counts.entries()) {
        expect(Math.abs(count / steps - weights[index]! / total)).toBeLessThan((2 * weights.length) / steps);
      }
    }),
    { numRuns: 50 },
  );
});
