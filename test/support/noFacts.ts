/** A FactFinder that finds nothing out, for tests that are about something else. */
import type { BuildStore, FactFinder } from '../../backend/src/ports.js';

export const noFacts: FactFinder = {
  addressOf: () => Promise.resolve(null),
  ownerOf: () => null,
  ownersOf: () => Promise.resolve(null),
  isListening: () => false,
  foreignHolder: () => Promise.resolve(null),
  ofRunning: () =>
    Promise.resolve({ answer: null, otherPaths: [], listening: null, holder: null, log: null }),
  ofExit: () => Promise.resolve({ error: null, holder: null, log: null }),
};

/** A BuildStore that keeps nothing. */
export const noBuilds: BuildStore = {
  keep: () => Promise.resolve({ ok: false, problem: 'nothing is kept here' }),
  differences: () => Promise.resolve(null),
  putBack: () => Promise.resolve(null),
};
