/** scripts/build.mjs with the real compiler, on projects of two small files, and the agent of one. */
import { spawn } from 'node:child_process';
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
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const projects = ['backend', 'examples/wordpecker'];
/** CommonJS within an ES module: a project of its own that ends up in the build of the other. */
const agent = 'backend/src/agent';

let project = '';

beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'holdfast-build-'));
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
});
afterEach(() => rmSync(project, { recursive: true, force: true }));

function write(file: string, text: string): void {
  mkdirSync(join(project, file, '..'), { recursive: true });
  writeFileSync(join(project, file), text);
}

const read = (file: string): string => readFileSync(join(project, file), 'utf8');
const exists = (file: string): boolean => existsSync(join(project, file));

function build(...args: readonly string[]): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(project, 'scripts/build.mjs'), ...args], { cwd: tmpdir() });
    let output = '';
    const collect = (chunk: Buffer): void => void (output += chunk.toString());
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.once('close', (code) => resolve({ code, output }));
  });
}

describe('scripts/build.mjs', () => {
  it('compiles every project, and does nothing while nothing changed', async () => {
    const first = await build();
    expect(first).toMatchObject({ code: 0 });
    for (const name of projects) expect(read(`${name}/dist/main.js`)).toContain('version = 1');
    expect(read('backend/dist/agent/preload.js')).toContain('require("node:worker_threads")');
    expect(JSON.parse(read('backend/dist/agent/package.json'))).toMatchObject({ type: 'commonjs' });
    const built = statSync(join(project, 'backend/dist/main.js')).mtimeMs;
    expect(await build()).toEqual({ code: 0, output: 'Build: up to date.\n' });
    expect(statSync(join(project, 'backend/dist/main.js')).mtimeMs).toBe(built);
    expect((await build('--force')).output).toContain('done in');
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
    await build();
    rmSync(join(project, 'backend/src/other.ts'));
    await build();
    expect(exists('backend/dist/main.js')).toBe(true);
    expect(exists('backend/dist/other.js')).toBe(false);
  });

  it('keeps every project as it was when one does not compile', async () => {
    await build();
    write('backend/src/main.ts', 'export const version: number = 2;\n');
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
    await build();
    write('backend/src/main.ts', 'export const version: number = 2;\n');
    await build('--quiet');
    expect(await build('--rollback')).toEqual({ code: 0, output: 'Build: went back to the build before.\n' });
    expect(read('backend/dist/main.js')).toContain('version = 1');
    expect(exists('examples/wordpecker/dist/main.js')).toBe(true);
    await build('--rollback');
    expect(read('backend/dist/main.js')).toContain('version = 2');
  });

  it('does not build what was taken back again, unless it is asked to', async () => {
    await build();
    write('backend/src/main.ts', 'export const version: number = 2;\n');
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
    await build();
    write('backend/src/main.ts', 'export const version: number = 2;\n');
    await build();
    await build('--rollback');
    write('backend/src/main.ts', 'export const version: number = 3;\n');
    await build();
    expect(read('backend/dist/main.js')).toContain('version = 3');
  });

  it('does not go back to nothing', async () => {
    await build();
    const { code, output } = await build('--rollback');
    expect(code).toBe(1);
    expect(output).toContain('there is no earlier build of backend, examples/wordpecker to go back to');
    expect(exists('backend/dist/main.js')).toBe(true);
  });

  it('builds once when several start at the same time', async () => {
    const runs = await Promise.all([build(), build(), build()]);
    expect(runs.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(runs.filter(({ output }) => output.includes('done in'))).toHaveLength(1);
    expect(exists('run/build.lock')).toBe(false);
  });

  it('is not held up by the lock of a process that is gone', async () => {
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
