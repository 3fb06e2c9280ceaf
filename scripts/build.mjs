#!/usr/bin/env node
/**
 * Compiles the TypeScript projects: backend/ (with the agent in it, which is CommonJS and thus a project of its own)
 * and examples/wordpecker/.
 *
 * A build is all or nothing. Every project is compiled into `dist.next` beside its `dist`; only when all of them
 * compiled are the directories exchanged, and the build before stays in `dist.previous`. So running processes never
 * see half a build, outputs of deleted sources never linger, and a deployment that does not verify goes back with
 * `--rollback`.
 *
 * A fingerprint of everything that goes into a build lies in each `dist`; while it matches, there is nothing to do
 * (about 30 ms). Where one project has changed and another has not, the other's `dist` is copied: to compile the backend
 * takes ten times as long. One build at a time: others wait for it on a lock file that names its owner.
 *
 * Plain JavaScript, because it has to run before there is a build.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const projects = ['backend', 'examples/wordpecker'];
/** Compiled into a project's build: its sources, and where below the build they go. */
const inner = { backend: [{ sources: 'backend/src/agent', config: 'tsconfig.build.json', place: 'agent' }] };
const tsc = join(root, 'node_modules/typescript/bin/tsc');
const lockFile = join(root, 'run/build.lock');
/** Fingerprint of the build that `--rollback` went away from: nothing but an explicit wish brings it back. */
const refusedFile = join(root, 'run/refused-build');
const lockWaitMs = 180_000;
/** A build that takes longer is told to the one that waits for it. */
const silentWaitMs = 1_000;

const usage = `Usage: node scripts/build.mjs [--retry | --force | --rollback] [--quiet]

Compiles backend/ and examples/wordpecker/ into their dist/ directories, as a whole or not at all.

  --retry      build although these very sources were taken back with --rollback
  --force      compile everything, also what has not changed
  --rollback   exchange the build with the one before it (twice brings it back)
  --quiet      say nothing unless it fails
  --help       this text`;

/** Every source file below `directory`, sorted, without tests. */
function sourcesOf(directory) {
  return readdirSync(directory, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) return entry.name === 'testing' ? [] : sourcesOf(path);
      return entry.name.endsWith('.test.ts') ? [] : [path];
    });
}

/** Of what goes into one project's build: its sources, its settings, and the compiler. */
function projectPrint(project) {
  const hash = createHash('sha256');
  const shared = ['tsconfig.base.json', 'node_modules/typescript/package.json'].map((path) =>
    join(root, path),
  );
  const own = [
    join(root, project, 'tsconfig.json'),
    join(root, project, 'package.json'),
    ...sourcesOf(join(root, project, 'src')),
  ];
  for (const path of [...shared, ...own]) {
    hash
      .update(`${relative(root, path)}\0`)
      .update(readFileSync(path))
      .update('\0');
  }
  return hash.digest('hex');
}

/** Of the whole build, and of each project in it. */
function fingerprints() {
  const ofProject = new Map(projects.map((project) => [project, projectPrint(project)]));
  const whole = createHash('sha256')
    .update([...ofProject.values()].join())
    .digest('hex');
  return { whole, ofProject };
}

function place(project, name) {
  return join(root, project, name);
}

/** Another build may take the file away at any time. */
function readOr(path, fallback) {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return fallback;
    throw error;
  }
}

function isCurrent(print) {
  return projects.every((project) => readOr(join(place(project, 'dist'), '.fingerprint'), '') === print);
}

/** Whether the project's `dist` is what compiling its sources would give again. */
function isUnchanged(project, print) {
  return readOr(join(place(project, 'dist'), '.project-fingerprint'), '') === print;
}

/** What the compiler leaves alone, the style and scripts of pages, stands beside the code as it does in src/. */
function copyAssets(project, target) {
  const source = join(root, project, 'src');
  for (const path of sourcesOf(source).filter((path) => !path.endsWith('.ts'))) {
    const copy = join(target, relative(source, path));
    mkdirSync(dirname(copy), { recursive: true });
    copyFileSync(path, copy);
  }
}

/** dist → dist.previous, dist.next → dist: two renames a project, no moment with half a build. */
function exchange() {
  for (const project of projects) {
    rmSync(place(project, 'dist.previous'), { recursive: true, force: true });
    if (existsSync(place(project, 'dist')))
      renameSync(place(project, 'dist'), place(project, 'dist.previous'));
    renameSync(place(project, 'dist.next'), place(project, 'dist'));
  }
}

function compile(project, target, config = 'tsconfig.json') {
  const run = spawnSync(process.execPath, [tsc, '-p', join(root, project, config), '--outDir', target], {
    cwd: root,
    encoding: 'utf8',
  });
  if (run.status === 0) return;
  const reason = `${run.error?.message ?? ''}${run.stdout ?? ''}${run.stderr ?? ''}`.trim();
  throw new Error(`${project}/ does not compile; the build before it is untouched.\n${reason}`);
}

/** A project with what is compiled into its build, and what the compiler leaves alone. */
function compileWhole(project, target) {
  compile(project, target);
  for (const { sources, config, place } of inner[project] ?? [])
    compile(sources, join(target, place), config);
  copyAssets(project, target);
}

function build({ force, retry, quiet }) {
  const { whole: print, ofProject } = fingerprints();
  if (!force && !retry && readOr(refusedFile, '') === print) {
    console.log(
      'Build: these sources were taken back after a failed deploy; the build before stays (--retry builds them).',
    );
    return;
  }
  if (!force && isCurrent(print)) {
    if (!quiet) console.log('Build: up to date.');
    return;
  }
  const startedAt = performance.now();
  const changed = projects.filter((project) => force || !isUnchanged(project, ofProject.get(project)));
  if (!quiet && changed.length > 0) console.log(`Build: compiling ${changed.join(' and ')} …`);
  try {
    for (const project of projects) {
      const target = place(project, 'dist.next');
      rmSync(target, { recursive: true, force: true });
      if (changed.includes(project)) compileWhole(project, target);
      else cpSync(place(project, 'dist'), target, { recursive: true });
      writeFileSync(join(target, '.project-fingerprint'), ofProject.get(project));
      writeFileSync(join(target, '.fingerprint'), print);
    }
    exchange();
    rmSync(refusedFile, { force: true });
  } finally {
    for (const project of projects) rmSync(place(project, 'dist.next'), { recursive: true, force: true });
  }
  if (!quiet) console.log(`Build: done in ${((performance.now() - startedAt) / 1000).toFixed(1)} s.`);
}

function rollBack({ quiet }) {
  const without = projects.filter((project) => !existsSync(place(project, 'dist.previous')));
  if (without.length > 0) {
    throw new Error(
      `there is no earlier build of ${without.join(', ')} to go back to (dist.previous is missing).`,
    );
  }
  const leaving = readOr(join(place(projects[0], 'dist'), '.fingerprint'), '');
  for (const project of projects) renameSync(place(project, 'dist.previous'), place(project, 'dist.next'));
  exchange();
  if (existsSync(refusedFile)) rmSync(refusedFile);
  else writeFileSync(refusedFile, leaving);
  if (!quiet) console.log('Build: went back to the build before.');
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Takes the lock, or returns the pid of its owner; a lock whose owner is gone is removed. */
function tryLock() {
  try {
    writeFileSync(lockFile, String(process.pid), { flag: 'wx' });
    return null;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  const owner = Number(readOr(lockFile, '0'));
  // An empty file belongs to someone between creating and writing it: as good as alive.
  if (owner > 0 && !isAlive(owner)) rmSync(lockFile, { force: true });
  return owner;
}

async function withLock(action) {
  mkdirSync(dirname(lockFile), { recursive: true });
  const startedAt = performance.now();
  const deadline = startedAt + lockWaitMs;
  let told = false;
  for (;;) {
    const owner = tryLock();
    if (owner === null) break;
    if (performance.now() > deadline) {
      throw new Error(
        `another build (pid ${owner}) has held ${lockFile} for ${lockWaitMs / 1000} s; end it, or remove the file.`,
      );
    }
    if (!told && performance.now() > startedAt + silentWaitMs) {
      console.error(`Build: another build (pid ${owner}) is running; waiting for it.`);
      told = true;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  try {
    action();
  } finally {
    rmSync(lockFile, { force: true });
  }
}

/** Why the file system refused, in words. */
const REASONS = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EEXIST: 'there is a file, not a folder',
};

function explain(error) {
  const reason = REASONS[error.code];
  if (reason === undefined || error.path === undefined) return error.message;
  return (
    `${error.path} cannot be written: ${reason}. The build is not up to date, and a new one is written into ${root}: ` +
    `run \`npm run build\` there as its owner. To start what is built already: ${join(root, 'scripts/holdfast.sh')} up`
  );
}

async function main() {
  const { values } = parseArgs({
    options: {
      force: { type: 'boolean', default: false },
      retry: { type: 'boolean', default: false },
      rollback: { type: 'boolean', default: false },
      quiet: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(usage);
  if (!existsSync(tsc)) {
    throw new Error(
      'the compiler is not installed; run `npm ci --include=dev` first (with NODE_ENV=production, npm leaves it out).',
    );
  }
  // Where there is nothing to do nothing is written: the project's folder may be another user's, or read-only.
  const asksForMore = values.rollback || values.force;
  if (!asksForMore && isCurrent(fingerprints().whole)) {
    if (!values.quiet) console.log('Build: up to date.');
    return;
  }
  await withLock(() => (values.rollback ? rollBack(values) : build(values)));
}

main().catch((error) => {
  const isUsage = String(error.code).startsWith('ERR_PARSE_ARGS');
  console.error(isUsage ? `${error.message}\n\n${usage}` : `Build: ${explain(error)}`);
  process.exitCode = isUsage ? 2 : 1;
});
