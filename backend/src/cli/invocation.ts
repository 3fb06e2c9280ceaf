/**
 * Commands as they are printed for people to type. `npx holdfast` works in the project's folder only: anywhere else npx
 * would look for a package of that name. It makes the script executable each time, which only its owner may. Where it would
 * not work, the path of the script is printed.
 */
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { CliContext } from './context.js';
import { quoted } from '../lib/words.js';

/** @param words what follows, such as `status --json`; names with spaces are quoted already. */
export function holdfast(
  { config: { root }, env }: Pick<CliContext, 'config' | 'env'>,
  words: string,
): string {
  // npm runs its scripts in the project's folder; INIT_CWD is where the command was typed.
  const where = env['INIT_CWD'] || process.cwd();
  const script = join(root, 'scripts/holdfast.sh');
  const worksByNpx = nearestPackage(where) === root && isOwner(script);
  return `${worksByNpx ? 'npx holdfast' : quoted(script)} ${words}`;
}

/** What to do about a supervisor that does not answer. */
export function startAdvice(context: Pick<CliContext, 'config' | 'env'>): string {
  return `Start it: ${holdfast(context, 'start-ha')}; or everything: ${holdfast(context, 'up')}`;
}

function isOwner(file: string): boolean {
  const uid = process.getuid?.();
  if (uid === undefined || uid === 0) return true;
  return statSync(file, { throwIfNoEntry: false })?.uid === uid;
}

function nearestPackage(folder: string): string | null {
  if (existsSync(join(folder, 'package.json'))) return folder;
  const parent = dirname(folder);
  return parent === folder ? null : nearestPackage(parent);
}
