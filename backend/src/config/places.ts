/** Paths that settings give. */
import { existsSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';

/** A relative path is meant from the project root; `~` is the home directory. */
export function absolutePath(path: string, root: string, home: string): string {
  const expanded = path === '~' || path.startsWith('~/') ? join(home, path.slice(1)) : path;
  return isAbsolute(expanded) ? expanded : join(root, expanded);
}

/** What the file may be called, beside its default name, where no setting names one. */
const OTHER_NAMES = ['ecosystem.config.js', 'ecosystem.config.cjs'];

/** @param file of the setting, or its default, absolute. @returns `file` where it is there or was named. */
export function ecosystemFile(file: string, isNamed: boolean): string {
  if (isNamed || existsSync(file)) return file;
  return OTHER_NAMES.map((name) => join(dirname(file), name)).find((other) => existsSync(other)) ?? file;
}
