/** The numbers of the protocol (protocol.ts). */
import type { Welcome } from './protocol.js';

export const PROTOCOL = 1;

/** Longest line either side accepts. Diagnostic reports and heap profiles are cut to fit by their sender. */
export const MAX_LINE_BYTES = 2 * 1024 * 1024;

/** Until a supervisor has said otherwise. */
export const DEFAULTS: Omit<Welcome, 'type' | 'protocol'> = {
  hangTimeoutMs: 1_000,
  intervalMs: 250,
  killTimeoutMs: 10_000,
};
