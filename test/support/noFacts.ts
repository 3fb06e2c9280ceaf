/** A FactFinder that finds nothing out, for tests that are about something else. */
import type { FactFinder } from '../../backend/src/ports.js';

export const noFacts: FactFinder = {
  ofRunning: () =>
    Promise.resolve({ answer: null, otherPaths: [], listening: null, holder: null, log: null }),
  ofExit: () => Promise.resolve({ error: null, holder: null, log: null }),
};
