/**
 * Breadcrumbs of the main thread: word of what it is about to wait for, where that wait lets nobody in.
 *
 * While a thread waits in `execSync`, `spawnSync` or `pbkdf2Sync`, not even the inspector gets an answer before they
 * return. These calls are heavy (milliseconds at least) and few, so their JavaScript stack is written into shared
 * memory before them (./crumb.ts) and crossed out afterwards.
 *
 * Nothing that the application sees is changed: what is wrapped are the functions behind node's own modules,
 * `spawn` of the binding `spawn_sync` and `run` of the binding `crypto`'s jobs. `process.binding` hands out the very
 * objects; should it not (Node 24 has no `crypto` there, a permission model may forbid it, an object may be frozen),
 * then there are no breadcrumbs of these, and such a wait is reported as native code.
 */
import type { BreadcrumbMemory } from '../seams.js';
import { callers } from './callers.js';
import { createCrumbWriter, type CrumbWriter } from './crumb.js';

/** Jobs that can take long enough to matter. Synchronous or not is decided inside them; the rest costs microseconds. */
const HEAVY_JOBS: Readonly<Record<string, string>> = {
  PBKDF2Job: 'PBKDF2',
  ScryptJob: 'scrypt',
  RsaKeyPairGenJob: 'generating an RSA key pair',
  DsaKeyPairGenJob: 'generating a DSA key pair',
  DhKeyPairGenJob: 'generating a Diffie-Hellman key pair',
  RandomPrimeJob: 'generating a prime',
  CheckPrimeJob: 'checking a prime',
};

type Callable = (this: unknown, ...args: unknown[]) => unknown;

/** On the main thread, once. `memory` is what the watching thread reads. Never throws. */
export function installBreadcrumbs(memory: BreadcrumbMemory): void {
  const writer = createCrumbWriter(memory);
  const spawnSync = binding('spawn_sync');
  if (spawnSync !== null) wrap(spawnSync, 'spawn', writer, childProcess);
  const crypto = binding('crypto');
  for (const [job, name] of Object.entries(HEAVY_JOBS)) {
    const prototype = (crypto?.[job] as { prototype?: Record<string, unknown> } | undefined)?.prototype;
    if (prototype !== undefined) wrap(prototype, 'run', writer, () => `cryptography (${name})`);
  }
}

/** The name of the program alone: its arguments may hold secrets. */
function childProcess(options: unknown): string {
  const file = (options as { file?: unknown } | null | undefined)?.file;
  const name = typeof file === 'string' ? file.slice(file.lastIndexOf('/') + 1).slice(0, 60) : 'unknown';
  return `a child process (${name})`;
}

function wrap(
  owner: Record<string, unknown>,
  name: string,
  writer: CrumbWriter,
  what: (firstArgument: unknown) => string,
): void {
  const original = owner[name];
  if (typeof original !== 'function') return;
  const call = original as Callable;
  const wrapper: Callable = function (...args) {
    try {
      writer.leave({ what: what(args[0]), stack: callers(wrapper) });
    } catch {
      // Without it, the wait is reported as native code.
    }
    try {
      return Reflect.apply(call, this, args);
    } finally {
      writer.clear();
    }
  };
  try {
    owner[name] = wrapper;
  } catch {
    // Frozen: the application goes first.
  }
}

/** An internal binding, or null. Node warns of `process.binding` of some (DEP0111): not on the application's behalf. */
function binding(name: string): Record<string, unknown> | null {
  const before = Object.getOwnPropertyDescriptor(process, 'noDeprecation');
  try {
    process.noDeprecation = true;
    const { binding: open } = process as unknown as { binding: (name: string) => Record<string, unknown> };
    return open.call(process, name);
  } catch {
    return null;
  } finally {
    if (before === undefined) Reflect.deleteProperty(process, 'noDeprecation');
    else Object.defineProperty(process, 'noDeprecation', before);
  }
}
