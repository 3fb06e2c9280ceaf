/**
 * Faults that are decided before a start: what a bad build or a crash loop looks like from outside. They exist
 * only with ENABLE_FAULTS=true. FAULT_FILE names a JSON file with the same names, read once at start, so that
 * a test can change what the *next* start does without touching an environment:
 *
 *   {"service": "wordpecker-backend", "FAULT_START": "crash", "FAULT_EXIT_AFTER_MS": 30000}
 *
 * What the file says wins over the environment; with `service` it concerns that service alone; a missing file
 * means no faults from it.
 */
import fs from 'node:fs';
import type { Env, EnvReader } from '../lib/env.js';
import { codeOf, messageOf } from '../lib/errors.js';

const START_FAULTS = ['crash', 'never-listen', 'status-500'] as const;
export type StartFault = (typeof START_FAULTS)[number];

export interface FaultSettings {
  /** Whether /debug/* exists. */
  readonly enabled: boolean;
  readonly start: StartFault | null;
  /** The process ends with code 1 this long after its start. */
  readonly exitAfterMs: number | null;
}

const NAMES = ['FAULT_START', 'FAULT_EXIT_AFTER_MS'];

/** Puts what is wrong into the reader's problems. */
export function readFaultSettings(reader: EnvReader, service: string): FaultSettings {
  if (!reader.flag('ENABLE_FAULTS')) return { enabled: false, start: null, exitAfterMs: null };
  const file = reader.text('FAULT_FILE');
  const faults = file === null ? reader : reader.over(readFaultFile(file, service, reader));
  return {
    enabled: true,
    start: faults.oneOf('FAULT_START', START_FAULTS),
    exitAfterMs: faults.optionalInteger('FAULT_EXIT_AFTER_MS', 0, 86_400_000),
  };
}

function readFaultFile(file: string, service: string, reader: EnvReader): Env {
  let parsed: unknown;
  try {
    parsed = JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') reader.problem(`FAULT_FILE ${file} cannot be read: ${messageOf(error)}`);
    return {};
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    reader.problem(`FAULT_FILE ${file} does not hold a JSON object: give {} or one with ${NAMES.join(', ')}`);
    return {};
  }
  const { service: only, ...faults } = parsed as Record<string, unknown>;
  for (const name of Object.keys(faults)) {
    if (!NAMES.includes(name))
      reader.problem(`FAULT_FILE ${file}: unknown key "${name}", know ${NAMES.join(', ')}`);
  }
  if (only !== undefined && only !== service) return {};
  return Object.fromEntries(Object.entries(faults).map(([name, value]) => [name, String(value)]));
}
