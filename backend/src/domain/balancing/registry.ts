/** Every balancing algorithm, by its name in LB_ALGORITHM. Adding one: a file here and a line here. */
import { consistentHash } from './consistentHash.js';
import { ipHash } from './ipHash.js';
import { leastConnections } from './leastConnections.js';
import type { Algorithm } from './picker.js';
import { powerOfTwoChoices } from './powerOfTwoChoices.js';
import { random } from './random.js';
import { roundRobin } from './roundRobin.js';
import { weightedRoundRobin } from './weightedRoundRobin.js';

const ALL: readonly Algorithm[] = [
  roundRobin,
  weightedRoundRobin,
  leastConnections,
  powerOfTwoChoices,
  consistentHash,
  ipHash,
  random,
];

export const algorithms: ReadonlyMap<string, Algorithm> = new Map(
  ALL.map((algorithm) => [algorithm.name, algorithm]),
);
