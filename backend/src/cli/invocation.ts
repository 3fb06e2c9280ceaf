/**
 * Commands as they are printed for people to type. In the folder of a project, `npx holdfast` finds the command of its
 * clone or of the package that is installed there; anywhere else npx would look for a package of that name. It makes the
 * script of a clone executable each time, which only its owner may. Where it would not work, the path of the script is printed.
 */
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isPackage, packageFolder } from '../installation.js';
import type { CliContext } from './context.js';
import { quoted } from '../lib/words.js';

const SCRIPT = 'scripts/holdfast.sh';
/** Where npm puts the command of a package, below the project. */
const LINK = 'node_modules/.bin/holdfast';

/** @param words what follows, such as `status --json`; names with spaces are quoted already. */
export function holdfast(
  { config: { root }, env }: Pick<CliContext, 'config' | 'env'>,
  words: string,
): string {
  // npm runs its scripts in the project's folder; INIT_CWD is where the command was typed.
  const nearest = nearestPackage(env['INIT_CWD'] || process.cwd());
  const script = join(isPackage ? packageFolder : root, SCRIPT);
  const worksByNpx = nearest === root && (isPackage ? existsSync(join(root, LINK)) : isOwner(script));
  return `${worksByNpx ? 'npx holdfast' : quoted(script)} ${words}`;
}

/** The same command of another project, wherever it is typed. */
export function holdfastOf(root: string, words: string): string {
  const script = join(root, SCRIPT);
  return existsSync(script) || !existsSync(join(root, LINK))
    ? `${quoted(script)} ${words}`
    : `cd ${quoted(root)} && npx holdfast ${words}`;
}

/** An npm command of a clone; a package has the command `words` for it. */
export function npm(context: Pick<CliContext, 'config' | 'env'>, script: string, words: string): string {
  return isPackage ? holdfast(context, words) : `npm ${script}`;
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
