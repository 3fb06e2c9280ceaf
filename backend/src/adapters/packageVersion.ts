import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Holdfast's own version. @param root the project's root. @throws when there is no package.json. */
export function packageVersion(root: string): string {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  return manifest.version;
}
