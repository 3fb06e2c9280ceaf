/**
 * The seed of every property test is fixed, so that a run depends on the code alone. `HOLDFAST_FUZZ_SEED` begins
 * elsewhere (the nightly run does) and `HOLDFAST_FUZZ_RUNS` tries more inputs. A failure prints its seed and its path.
 */
import fc from 'fast-check';

const seed = Number(process.env['HOLDFAST_FUZZ_SEED'] ?? 20_261_130);
const runs = process.env['HOLDFAST_FUZZ_RUNS'];

fc.configureGlobal({ seed, ...(runs === undefined ? {} : { numRuns: Number(runs) }) });
