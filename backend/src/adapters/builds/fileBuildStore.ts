/**
 * The BuildStore of ports.ts: one copy a service, `<directory>/<service>/`: `files/` and, written last, `build.json`. A copy
 * is made beside the one before and takes its place when it is whole. Files that are put back push the ones that lay there
 * aside, to `<directory>/<service>.aside-<time>/`; the newest three of these are kept. What an application's disk does not
 * answer within a minute is given up.
 */
import { readdir, readFile, readlink, realpath, rename, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { messageOf } from '../../domain/errors.js';
import { copyOwn, readOwn, writeOwn } from '../../lib/ownFiles.js';
import type { BuildStore, KeptBuild } from '../../ports.js';
import { inFolder } from '../files/inFolder.js';
import { buildFiles, buildFolder, linksTo } from './buildFiles.js';
import { fileName } from '../../lib/words.js';

const ASIDE_KEPT = 3;
/** Copying the largest build takes some seconds. */
const PATIENCE_MS = 60_000;

interface Manifest {
  readonly keptAtMs: number;
  readonly folder: string;
  readonly links: readonly { readonly path: string; readonly target: string }[];
  readonly files: readonly { readonly path: string; readonly mode: number }[];
}

export class FileBuildStore implements BuildStore {
  readonly #directory: string;
  readonly #patienceMs: number;

  /** @param patienceMs how long the disk of an application may take for all of one call. Default 60 s. */
  constructor(directory: string, patienceMs = PATIENCE_MS) {
    this.#directory = directory;
    this.#patienceMs = patienceMs;
  }

  keep(service: string, script: string, startedAtMs: number): Promise<KeptBuild> {
    return inFolder(dirname(script), this.#patienceMs, () => this.#keep(service, script, startedAtMs));
  }

  async #keep(service: string, script: string, startedAtMs: number): Promise<KeptBuild> {
    const fresh = join(this.#directory, `${fileName(service)}.new`);
    try {
      const folder = await buildFolder(script);
      const files = await buildFiles(await realpath(folder));
      const newer = files.find(({ changedAtMs }) => changedAtMs >= startedAtMs);
      if (newer !== undefined) {
        return {
          ok: false,
          problem: `${join(folder, newer.path)} has changed since the instances were started`,
        };
      }
      await rm(fresh, { recursive: true, force: true });
      for (const { path } of files) await copyOwn(join(folder, path), join(fresh, 'files', path));
      const links = await linksTo(folder);
      const kept = files.map(({ path, mode }) => ({ path, mode }));
      const manifest: Manifest = { keptAtMs: Date.now(), folder, links, files: kept };
      await writeOwn(join(fresh, 'build.json'), JSON.stringify(manifest));
      await rm(this.#folderOf(service), { recursive: true, force: true });
      await rename(fresh, this.#folderOf(service));
      return { ok: true };
    } catch (error) {
      await rm(fresh, { recursive: true, force: true }).catch(() => undefined);
      return { ok: false, problem: messageOf(error) };
    }
  }

  async differences(service: string): Promise<readonly string[] | null> {
    const manifest = await this.#manifest(service);
    if (manifest === null) return null;
    return inFolder(manifest.folder, this.#patienceMs, () => this.#differences(service, manifest));
  }

  async #differences(service: string, { folder, files, links }: Manifest): Promise<readonly string[]> {
    const moved = await filter(
      links,
      async ({ path, target }) => (await readlink(path).catch(() => '')) !== target,
    );
    const changed = await filter(files, ({ path }) => this.#isChanged(service, folder, path));
    return [...moved.map(({ path }) => path), ...changed.map(({ path }) => join(folder, path))];
  }

  async putBack(
    service: string,
  ): Promise<{ readonly restored: readonly string[]; readonly aside: string | null } | null> {
    const manifest = await this.#manifest(service);
    if (manifest === null) return null;
    return inFolder(manifest.folder, this.#patienceMs, () => this.#putBack(service, manifest));
  }

  async #putBack(
    service: string,
    { folder, files, links }: Manifest,
  ): Promise<{ readonly restored: readonly string[]; readonly aside: string | null }> {
    const restored: string[] = [];
    for (const { path, target } of links) {
      if ((await readlink(path).catch(() => '')) === target) continue;
      await symlink(target, `${path}.holdfast`);
      await rename(`${path}.holdfast`, path);
      restored.push(path);
    }
    const aside = join(
      this.#directory,
      `${fileName(service)}.aside-${new Date().toISOString().replaceAll(':', '-')}`,
    );
    let isAside = false;
    for (const { path } of await filter(files, ({ path }) => this.#isChanged(service, folder, path))) {
      const at = join(folder, path);
      isAside = (await copyOwn(at, join(aside, path)).then(() => true, ignoreMissing)) || isAside;
      await copyOwn(join(this.#folderOf(service), 'files', path), `${at}.holdfast`);
      // In one step: a process that starts now finds the one or the other.
      await rename(`${at}.holdfast`, at);
      restored.push(at);
    }
    await this.#forgetOldAsides(service);
    return { restored, aside: isAside ? aside : null };
  }

  #folderOf(service: string): string {
    return join(this.#directory, fileName(service));
  }

  async #manifest(service: string): Promise<Manifest | null> {
    const text = await readOwn(join(this.#folderOf(service), 'build.json')).catch(() => null);
    return text === null ? null : (JSON.parse(text) as Manifest);
  }

  async #isChanged(service: string, folder: string, path: string): Promise<boolean> {
    const kept = await readFile(join(this.#folderOf(service), 'files', path));
    const now = await readFile(join(folder, path)).catch(() => null);
    return now === null || !now.equals(kept);
  }

  async #forgetOldAsides(service: string): Promise<void> {
    const asides = (await readdir(this.#directory))
      .filter((name) => name.startsWith(`${fileName(service)}.aside-`))
      .sort();
    for (const name of asides.slice(0, -ASIDE_KEPT))
      await rm(join(this.#directory, name), { recursive: true });
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): false {
  if (error.code === 'ENOENT') return false;
  throw error;
}

async function filter<T>(items: readonly T[], test: (item: T) => Promise<boolean>): Promise<readonly T[]> {
  const passed: T[] = [];
  for (const item of items) if (await test(item)) passed.push(item);
  return passed;
}
