/** Drawn by weight, independent of all that went before: many gateways that know nothing of each other never beat in step. */
import type { Algorithm } from './picker.js';
import { WeightedDraw } from './weightedDraw.js';

export const random: Algorithm = {
  name: 'random',
  keyedBy: 'none',
  build: (endpoints, random) => {
    const weighted = new WeightedDraw(endpoints, random);
    return { pick: ({ tried }) => weighted.draw(tried) };
  },
};
