/** Paths that settings give. */
import { isAbsolute, join } from 'node:path';

/** A relative path is meant from the project root; `~` is the home directory. */
export function absolutePath(path: string, root: string, home: string): string {
  const expanded = path === '~' || path.startsWith('~/') ? join(home, path.slice(1)) : path;
  return isAbsolute(expanded) ? expanded : join(root, expanded);
}
