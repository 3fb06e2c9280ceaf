/** Every balancing algorithm, by its name in LB_ALGORITHM. Adding one: a file here and a line here. */
import { ipHash } from './ipHash.js';
import type { Algorithm } from './picker.js';
import { roundRobin } from './roundRobin.js';

export const algorithms: ReadonlyMap<string, Algorithm> = new Map(
  [roundRobin, ipHash].map((algorithm) => [algorithm.name, algorithm]),
);
