/**
 * A breadcrumb: one small place in shared memory where the main thread leaves word of what it is about to wait for,
 * before it does (./breadcrumbs.ts), and which the watching thread reads when the main thread is silent.
 *
 *      state 0   1 while a crumb lies there, else 0
 *      state 1   length of the text in bytes
 *      text      JSON of a Crumb, UTF-8, cut to fit
 *
 * There is one writer, and it stands still while the reader looks: a crumb that matters has been lying there for long.
 * A reader that comes in between gets text that is no JSON, and takes it for no crumb.
 */
import type { BreadcrumbMemory } from '../seams.js';

export interface Crumb {
  /** "a child process (sleep)", "cryptography (PBKDF2)": what it waits for. */
  readonly what: string;
  /** JavaScript that called it, innermost first; empty when the application does not allow to look. */
  readonly stack: readonly string[];
}

export interface CrumbWriter {
  leave(crumb: Crumb): void;
  clear(): void;
}

export function createCrumbWriter({ state, text }: BreadcrumbMemory): CrumbWriter {
  return {
    leave(crumb) {
      const bytes = serialise(crumb, text.length);
      text.set(bytes);
      state[1] = bytes.length;
      state[0] = 1;
    },
    clear() {
      state[0] = 0;
    },
  };
}

/** The crumb that lies there, or null. Called from the other thread. */
export function readCrumb({ state, text }: BreadcrumbMemory): Crumb | null {
  if (state[0] !== 1) return null;
  // A copy first: the writer may go on at any moment.
  const bytes = Buffer.from(text.subarray(0, state[1] ?? 0));
  return state[0] === 1 ? parse(bytes) : null;
}

function parse(bytes: Buffer): Crumb | null {
  try {
    return JSON.parse(bytes.toString('utf8')) as Crumb;
  } catch {
    return null;
  }
}

/** Outer frames go first where there is no room. */
function serialise({ what, stack }: Crumb, maxBytes: number): Buffer {
  for (let frames = stack.length; frames > 0; frames = Math.floor(frames / 2)) {
    const bytes = Buffer.from(JSON.stringify({ what, stack: stack.slice(0, frames) }));
    if (bytes.length <= maxBytes) return bytes;
  }
  return Buffer.from(JSON.stringify({ what: what.slice(0, 200), stack: [] }));
}
