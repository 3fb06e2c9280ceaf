/** For JSON.stringify: all that the API hands out goes through here, without the noise of fractions and without secrets. */
import { withoutSecrets } from '../domain/secrets/scrubber.js';
import { withoutNoise } from '../lib/numbers.js';

export const outgoing = (key: string, value: unknown): unknown =>
  withoutNoise(key, withoutSecrets(key, value));
