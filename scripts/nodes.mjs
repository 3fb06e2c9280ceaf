/**
 * Node.js of other versions than the one that runs this: each is installed once, with npm from the package `node`, into
 * run/nodes/<version>, and stays there. Later runs need no network.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Where what belongs to that version is kept. */
export const folderOf = (version) => join(root, 'run/nodes', version);

/**
 * The program of that version, installed if need be, and which release it is.
 * @param {string} version `24`, `24.21.0`
 * @param {boolean} update installs the newest release also where one is there
 * @returns {{ program: string, version: string }}
 * @throws with what to do
 */
export function nodeOf(version, update = false) {
  const folder = folderOf(version);
  const program = join(folder, 'node_modules/node/bin/node');
  if (update || versionOf(program) === null) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
    console.error(`Node ${version}: installing`);
    // The package's own script fetches the program for this platform.
    const options = ['--ignore-scripts=false', '--no-audit', '--no-fund', '--loglevel=error'];
    const npm = spawnSync('npm', ['install', ...options, `node@${version}`], {
      cwd: folder,
      encoding: 'utf8',
    });
    if (versionOf(program) === null) {
      const why = `${npm.error?.message ?? ''}${npm.stderr ?? ''}`.trim() || `npm ended with ${npm.status}`;
      throw new Error(
        `Node ${version} is not in ${relative(root, folder)} and could not be installed with npm. Is the npm registry in reach (npm ping)? npm said:\n${why}`,
      );
    }
  }
  return { program, version: versionOf(program) };
}

/** `v24.21.0`; null where the program is not there or does not run. */
export function versionOf(program) {
  if (!existsSync(program)) return null;
  const { status, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : null;
}
