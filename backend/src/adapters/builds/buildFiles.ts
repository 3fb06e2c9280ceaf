/**
 * Which files make up the build of a service: its code, and nothing that it writes itself. Of the folder of its package
 * (the nearest one above its script with a package.json, else the script's own), without dependencies, hidden folders,
 * logs and data. What an application may write while it runs must never be among them: it would be put back, too.
 */
import { access, lstat, readdir, readlink } from 'node:fs/promises';
import { dirname, extname, join, relative, sep } from 'node:path';

const CODE = new Set(
  '.js .cjs .mjs .jsx .ts .cts .mts .tsx .node .wasm .map .html .css .svg .ejs .hbs .pug .graphql .proto .sh .py'.split(
    ' ',
  ),
);
const PACKAGE_FILES = new Set(['package.json', 'package-lock.json', 'npm-shrinkwrap.json']);
/** Below one of these, JSON belongs to the build. */
const BUILT = new Set(['dist', 'build', 'out', 'lib', 'public']);
const LEFT_OUT = /^(?:\..*|node_modules|logs?|data|run|te?mp|uploads?|coverage|.*\.(?:previous|bak|old))$/;
const MOST_LEVELS_UP = 4;
const MOST_FILES = 20_000;
const MOST_BYTES = 64 * 1024 * 1024;

export interface BuildFile {
  /** Below the folder. */
  readonly path: string;
  readonly bytes: number;
  readonly mode: number;
  /** When its content, name or owner last changed. */
  readonly changedAtMs: number;
}

export async function buildFolder(script: string): Promise<string> {
  let folder = dirname(script);
  for (let level = 0; level < MOST_LEVELS_UP; level += 1, folder = dirname(folder)) {
    if (await isThere(join(folder, 'package.json'))) return folder;
  }
  return dirname(script);
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Rejects when they are too many to be kept. */
export async function buildFiles(folder: string): Promise<readonly BuildFile[]> {
  const found: BuildFile[] = [];
  let bytes = 0;
  const pending = [folder];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for (const entry of await readdir(next, { withFileTypes: true })) {
      const path = join(next, entry.name);
      if (LEFT_OUT.test(entry.name)) continue;
      if (entry.isDirectory()) pending.push(path);
      if (!entry.isFile() || !isCode(relative(folder, path))) continue;
      const { size, mode, ctimeMs } = await lstat(path);
      bytes += size;
      found.push({ path: relative(folder, path), bytes: size, mode, changedAtMs: ctimeMs });
      if (found.length > MOST_FILES || bytes > MOST_BYTES) {
        throw new Error(`${folder} has more than ${MOST_FILES} files or 64 MB of code`);
      }
    }
  }
  return found;
}

function isCode(path: string): boolean {
  const parts = path.split(sep);
  const name = parts.at(-1) ?? '';
  if (CODE.has(extname(name)) || PACKAGE_FILES.has(name)) return true;
  return extname(name) === '.json' && parts.slice(0, -1).some((part) => BUILT.has(part));
}

/** Symbolic links on the way to the folder, with their targets: `current -> releases/2`. */
export async function linksTo(folder: string): Promise<readonly { path: string; target: string }[]> {
  const links: { path: string; target: string }[] = [];
  for (let path = folder; dirname(path) !== path; path = dirname(path)) {
    if ((await lstat(path)).isSymbolicLink()) links.push({ path, target: await readlink(path) });
  }
  return links;
}
