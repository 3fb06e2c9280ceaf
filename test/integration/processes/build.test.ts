/** scripts/build.mjs with the real compiler, on projects of two small files, and the agent of one. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { waitFor } from '../../support/waitFor.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const projects = ['backend', 'examples/wordpecker'];
/** CommonJS within an ES module: a project of its own that ends up in the build of the other. */
const agent = 'backend/src/agent';

/** The projects with their first build, made once; each test gets a copy. */
let template = '';
let firstBuild: Awaited<Build['ended']>;
let project = '';

beforeAll(async () => {
  project = template = mkdtempSync(join(tmpdir(), 'holdfast-build-'));
  symlinkSync(join(root, 'node_modules'), join(project, 'node_modules'));
  for (const file of ['scripts/build.mjs', 'tsconfig.base.json'])
    cpSync(join(root, file), join(project, file));
  for (const name of projects) {
    for (const file of ['tsconfig.json', 'package.json'])
      cpSync(join(root, name, file), join(project, name, file));
    write(`${name}/src/main.ts`, 'export const version: number = 1;\n');
    write(`${name}/src/other.ts`, 'export const other: number = 1;\n');
  }
  for (const file of ['tsconfig.json', 'tsconfig.build.json', 'package.json'])
    cpSync(join(root, agent, file), join(project, agent, file));
  write(
    `${agent}/preload.ts`,
    "import { isMainThread } from 'node:worker_threads';\nexport { isMainThread };\n",
  );
  firstBuild = await build();
});
beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'holdfast-build-'));
  cpSync(template, project, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
});
afterEach(() => rmSync(project, { recursive: true, force: true }));
afterAll(() => rmSync(template, { recursive: true, force: true }));

/** What makes another build necessary. */
const changeBackend = (version = 2): void =>
  write('backend/src/main.ts', `export const version: number = ${version};\n`);

function write(file: string, text: string): void {
  mkdirSync(join(project, file, '..'), { recursive: true });
  writeFileSync(join(project, file), text);
}

const read = (file: string): string => readFileSync(join(project, file), 'utf8');
const exists = (file: string): boolean => existsSync(join(project, file));

interface Build {
  output: string;
  readonly ended: Promise<{ code: number | null; output: string }>;
}

function start(...args: readonly string[]): Build {
  const child = spawn(process.execPath, [join(project, 'scripts/build.mjs'), ...args], { cwd: tmpdir() });
  const started: Build = {
    output: '',
    ended: once(child, 'close').then(([code]) => ({ code: code as number | null, output: started.output })),
  };
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (started.output += chunk.toString()));
  return started;
}

const build = (...args: readonly string[]) => start(...args).ended;

describe('scripts/build.mjs', () => {
  it('compiles every project, and does nothing while nothing changed', async () => {
    expect(firstBuild).toMatchObject({ code: 0, output: expect.stringContaining('done in') });
    for (const name of projects) expect(read(`${name}/dist/main.js`)).toContain('version = 1');
    expect(read('backend/dist/agent/preload.js')).toContain('require("node:worker_threads")');
    expect(JSON.parse(read('backend/dist/agent/package.json'))).toMatchObject({ type: 'commonjs' });
    const built = statSync(join(project, 'backend/dist/main.js')).mtimeMs;
    expect(await build()).toEqual({ code: 0, output: 'Build: up to date.\n' });
    expect(statSync(join(project, 'backend/dist/main.js')).mtimeMs).toBe(built);
  });

  it('compiles what has changed, copies the rest into the new build, and with --force compiles all', async () => {
    // The compiler would not make this file again.
    write('backend/dist/copied.txt', 'from the build before');
    write('examples/wordpecker/src/main.ts', 'export const version: number = 2;\n');
    expect((await build()).output).toContain('Build: compiling examples/wordpecker …\n');
    expect(read('examples/wordpecker/dist/main.js')).toContain('version = 2');
    expect(read('backend/dist/copied.txt')).toBe('from the build before');
    // The agent is compiled into the backend's build, and counts as a part of it.
    write(`${agent}/preload.ts`, 'export const loaded: number = 2;\n');
    expect((await build()).output).toContain('Build: compiling backend …\n');
    expect(read('backend/dist/agent/preload.js')).toContain('loaded = 2');
    expect(read('examples/wordpecker/dist/main.js')).toContain('version = 2');
    expect(exists('backend/dist/copied.txt')).toBe(false);
    expect((await build('--force')).output).toContain('Build: compiling backend and examples/wordpecker …\n');
  });

  it('puts what is not TypeScript beside the code, with the same build and gone with its source', async () => {
    write('backend/src/pages/assets/page.css', 'body { color: red }');
    await build();
    expect(read('backend/dist/pages/assets/page.css')).toBe('body { color: red }');
    write('backend/src/pages/assets/page.css', 'body { color: blue }');
    await build();
    expect(read('backend/dist/pages/assets/page.css')).toBe('body { color: blue }');
    rmSync(join(project, 'backend/src/pages'), { recursive: true });
    await build();
    expect(exists('backend/dist/pages')).toBe(false);
    await build('--rollback');
    expect(read('backend/dist/pages/assets/page.css')).toBe('body { color: blue }');
  });

  it('leaves no output of a deleted source behind', async () => {
    rmSync(join(project, 'backend/src/other.ts'));
    await build();
    expect(exists('backend/dist/main.js')).toBe(true);
    expect(exists('backend/dist/other.js')).toBe(false);
  });

  it('keeps every project as it was when one does not compile', async () => {
    changeBackend();
    write('examples/wordpecker/src/main.ts', 'export const version: number = "two";\n');
    const { code, output } = await build();
    expect(code).toBe(1);
    expect(output).toContain('examples/wordpecker/ does not compile; the build before it is untouched.');
    expect(output).toContain("Type 'string' is not assignable to type 'number'");
    for (const name of projects) {
      expect(read(`${name}/dist/main.js`)).toContain('version = 1');
      expect(exists(`${name}/dist.next`)).toBe(false);
    }
  });

  it('goes back to the build before, as a whole, and forth again', async () => {
    changeBackend();
    await build('--quiet');
    expect(await build('--rollback')).toEqual({ code: 0, output: 'Build: went back to the build before.\n' });
    expect(read('backend/dist/main.js')).toContain('version = 1');
    expect(exists('examples/wordpecker/dist/main.js')).toBe(true);
    await build('--rollback');
    expect(read('backend/dist/main.js')).toContain('version = 2');
  });

  it('does not build what was taken back again, unless it is asked to', async () => {
    changeBackend();
    await build();
    await build('--rollback');
    const again = await build();
    expect(again.code).toBe(0);
    expect(again.output).toContain('taken back after a failed deploy');
    expect(read('backend/dist/main.js')).toContain('version = 1');
    expect(await build('--retry')).toMatchObject({ code: 0 });
    expect(read('backend/dist/main.js')).toContain('version = 2');
    // Once it is built on purpose, it is a build like any other.
    expect((await build()).output).toBe('Build: up to date.\n');
  });

  it('builds what is new after something was taken back', async () => {
    changeBackend();
    await build();
    await build('--rollback');
    changeBackend(3);
    await build();
    expect(read('backend/dist/main.js')).toContain('version = 3');
  });

  it('does not go back to nothing', async () => {
    const { code, output } = await build('--rollback');
    expect(code).toBe(1);
    expect(output).toContain('there is no earlier build of backend, examples/wordpecker to go back to');
    expect(exists('backend/dist/main.js')).toBe(true);
  });

  it('builds once when several start at the same time', async () => {
    changeBackend();
    const runs = await Promise.all([build(), build(), build()]);
    expect(runs.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(runs.filter(({ output }) => output.includes('done in'))).toHaveLength(1);
    expect(exists('run/build.lock')).toBe(false);
  });

  it('says that it waits for another build, and goes on when that has ended', async () => {
    changeBackend();
    write('run/build.lock', String(process.pid));
    const waiting = start();
    const told = `Build: another build (pid ${process.pid}) is running; waiting for it.\n`;
    await waitFor(() => waiting.output === told, { what: told, deadlineMs: 20_000 });
    rmSync(join(project, 'run/build.lock'));
    expect(await waiting.ended).toMatchObject({ code: 0, output: expect.stringContaining('done in') });
  });

  it('is not held up by the lock of a process that is gone', async () => {
    changeBackend();
    const dead = spawn(process.execPath, ['-e', '']);
    await new Promise((resolve) => dead.once('close', resolve));
    write('run/build.lock', String(dead.pid));
    expect(await build('--quiet')).toEqual({ code: 0, output: '' });
  });

  it('says what to run when the compiler is not there, and how it is used', async () => {
    expect(await build('--sideways')).toMatchObject({ code: 2 });
    rmSync(join(project, 'node_modules'));
    expect(await build()).toEqual({
      code: 1,
      output:
        'Build: the compiler is not installed; run `npm ci --include=dev` first (with NODE_ENV=production, npm leaves it out).\n',
    });
  });
});
