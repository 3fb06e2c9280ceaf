/** Pools to pick from in tests, with everything random from a seed. */
import { mix32 } from '../hash.js';
import type { Algorithm, Endpoint, Picker } from '../picker.js';
import { algorithms } from '../registry.js';

/** Uniform in [0, 1), the same sequence for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    return mix32(state) / 2 ** 32;
  };
}

export function pool(...weights: readonly number[]): Endpoint[] {
  return weights.map((weight, index) => ({
    id: `10.0.${index >>> 8}.${index & 255}:8080`,
    weight,
    inFlight: 0,
    available: true,
    ramp: 1,
  }));
}

export const equalPool = (count: number): Endpoint[] => pool(...Array.from({ length: count }, () => 1));

export function algorithm(name: string): Algorithm {
  const found = algorithms.get(name);
  if (found === undefined) throw new Error(`no algorithm ${name}`);
  return found;
}

export function picker(name: string, endpoints: readonly Endpoint[], seed = 1): Picker {
  return algorithm(name).build(endpoints, seeded(seed));
}

/** The hash of the key numbered `key`; never 0. */
export const keyHash = (key: number): number => mix32(Math.imul(key + 1, 0x9e3779b1)) || 1;

/** Each endpoint's share of `picks` picks that end at once, every one with another key. */
export function shares(picking: Picker, endpoints: readonly Endpoint[], picks: number): number[] {
  const counts = new Map(endpoints.map((endpoint) => [endpoint, 0]));
  for (let key = 0; key < picks; key += 1) {
    const picked = picking.pick({ hash: keyHash(key), tried: null });
    if (picked !== null) counts.set(picked, (counts.get(picked) ?? 0) + 1);
  }
  return endpoints.map((endpoint) => (counts.get(endpoint) ?? 0) / picks);
}
