/**
 * Integration tests run what users run: the compiled programs. They are built once before the first test, and
 * not at all while nothing changed. `HOLDFAST_SKIP_BUILD=1` takes the build that is there.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

export default function setup(): void {
  if (process.env['HOLDFAST_SKIP_BUILD'] === '1') return;
  const build = spawnSync(process.execPath, ['scripts/build.mjs', '--quiet'], {
    cwd: root,
    encoding: 'utf8',
  });
  if (build.status !== 0) {
    throw new Error(`The build that the integration tests run failed:\n${build.stdout}${build.stderr}`);
  }
}
