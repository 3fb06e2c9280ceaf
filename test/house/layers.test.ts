/**
 * Who may import whom is checked by the linter (.oxlintrc.json). A rule that never bites looks exactly like a
 * house that is in order, so each one is shown a violation here, in a copy of the house's shape.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Diagnostic {
  readonly message: string;
  readonly code: string;
  readonly help?: string;
  readonly filename: string;
}

/** Path of the file below backend/src (or the root for examples), and the line that must not pass. */
const violations: readonly (readonly [file: string, line: string])[] = [
  ['backend/src/domain/a.ts', `import '../services/loadBalancer.js';`],
  ['backend/src/domain/b.ts', `import '../adapters/clock.js';`],
  ['backend/src/domain/c.ts', `import '../ports.js';`],
  ['backend/src/domain/d.ts', `import '../config/load.js';`],
  ['backend/src/domain/e.ts', `import 'node:fs';`],
  ['backend/src/domain/f.ts', `import 'zod';`],
  ['backend/src/domain/g.ts', `export const now = (): number => Date.now();`],
  ['backend/src/domain/h.ts', `export const now = (): Date => new Date();`],
  ['backend/src/domain/i.ts', `export const pick = (): number => Math.random();`],
  ['backend/src/domain/j.ts', `export const later = (run: () => void): unknown => setTimeout(run, 1);`],
  ['backend/src/domain/k.ts', `export const now = (): number => performance.now();`],
  ['backend/src/domain/l.ts', `export const now = (): number => globalThis.Date.now();`],
  ['backend/src/domain/m.ts', `export const home = (): unknown => process.env;`],
  ['backend/src/domain/n.ts', `export const say = (): void => console.log('hello');`],
  ['backend/src/domain/balancing/o.ts', `import '../../gateway/listener.js';`],
  ['backend/src/domain/p.ts', `import type { Clock } from '../ports.js'; export type C = Clock;`],
  ['backend/src/domain/q.test.ts', `import '../services/loadBalancer.js';`],
  ['backend/src/lib/a.ts', `import '../domain/model.js';`],
  ['backend/src/ports.ts', `import './services/loadBalancer.js';`],
  ['backend/src/services/a.ts', `import '../adapters/pm2/processManager.js';`],
  ['backend/src/services/b.ts', `import '../api/server.js';`],
  ['backend/src/services/c.ts', `import '../config/load.js';`],
  ['backend/src/services/deeper/d.ts', `import '../../adapters/clock.js';`],
  ['backend/src/gateway/a.ts', `import '../services/loadBalancer.js';`],
  ['backend/src/gateway/b.ts', `import '../adapters/clock.js';`],
  ['backend/src/gateway/d.ts', `import '../gatewayWorker.js';`],
  ['backend/src/services/e.ts', `import '../startProcess.js';`],
  ['backend/src/api/a.ts', `import '../adapters/clock.js';`],
  ['backend/src/api/b.ts', `import '../services/loadBalancer.js';`],
  ['backend/src/api/routes/c.ts', `import '../../services/failoverManager.js';`],
  ['backend/src/api/routes/e.ts', `import '../../services/loop/controlLoop.js';`],
  ['backend/src/api/d.ts', `import { instance } from '../ports.js'; export const i = instance;`],
  ['backend/src/adapters/a.ts', `import '../services/loadBalancer.js';`],
  ['backend/src/adapters/b.ts', `import '../config/load.js';`],
  ['backend/src/adapters/pm2/c.ts', `import '../../api/server.js';`],
  ['backend/src/config/a.ts', `import '../adapters/clock.js';`],
  ['backend/src/config/b.ts', `import '../services/loadBalancer.js';`],
  ['backend/src/cli/a.ts', `import '../services/loadBalancer.js';`],
  ['backend/src/cli.ts', `import './services/loadBalancer.js';`],
  ['backend/src/agent/a.ts', `import '../domain/model.js';`],
  ['backend/src/agent/b.ts', `import 'winston';`],
  ['backend/src/agent/c.ts', `import 'node-fetch';`],
  ['backend/src/agent/hang/d.ts', `import '../../domain/model.js';`],
  ['backend/src/agent/hang/e.ts', `import 'winston';`],
  ['backend/src/agent/hang/f.test.ts', `import '../../domain/model.js';`],
  ['examples/wordpecker/src/a.ts', `import '../../../backend/src/domain/model.js';`],
];

/** What the layers do allow, one file each. */
const allowed: readonly (readonly [file: string, line: string])[] = [
  ['backend/src/domain/ok.ts', `import '../lib/ringBuffer.js'; import './model.js';`],
  ['backend/src/domain/balancing/ok.ts', `import '../model.js'; import '../../lib/ringBuffer.js';`],
  ['backend/src/domain/ok.test.ts', `import 'vitest'; import 'fast-check'; import './model.js';`],
  [
    'backend/src/services/ok.ts',
    `import '../domain/model.js'; import '../ports.js'; import '../lib/emitter.js';`,
  ],
  [
    'backend/src/api/ok.ts',
    `import '../services/highAvailabilityManager.js'; import '../domain/model.js'; import '../config/schema.js'; import type { Logger } from '../ports.js'; export type L = Logger;`,
  ],
  [
    'backend/src/adapters/ok.ts',
    `import '../ports.js'; import '../domain/model.js'; import '../lib/x.js'; import 'ws';`,
  ],
  [
    'backend/src/config/ok.ts',
    `import '../domain/policy.js'; import '../lib/editDistance.js'; import 'zod';`,
  ],
  [
    'backend/src/cli/ok.ts',
    `import '../adapters/clock.js'; import '../config/load.js'; import '../domain/views.js';`,
  ],
  ['backend/src/supervisor.ts', `import './services/a.js'; import './adapters/a.js'; import './api/a.js';`],
  ['backend/src/gateway.ts', `import './gateway/a.js'; import './adapters/a.js'; import './config/a.js';`],
  ['backend/src/agent/ok.ts', `import 'node:worker_threads'; import './frames.js';`],
  ['backend/src/agent/hang/ok.ts', `import 'node:fs'; import '../seams.js'; import './silence.js';`],
  ['backend/src/agent/ok.test.ts', `import 'vitest'; import './frames.js';`],
];

function lint(directory: string): Diagnostic[] {
  const run = spawnSync(
    process.execPath,
    [join(root, 'node_modules/oxlint/bin/oxlint'), '--format', 'json', '.'],
    { cwd: directory, encoding: 'utf8', maxBuffer: 16 * 1024 * 1024 },
  );
  const report = JSON.parse(run.stdout) as { diagnostics: Diagnostic[] };
  return report.diagnostics;
}

function plant(directory: string, files: readonly (readonly [string, string])[]): void {
  for (const [file, line] of files) {
    mkdirSync(dirname(join(directory, file)), { recursive: true });
    writeFileSync(join(directory, file), `${line}\n`);
  }
}

const restricting = /no-restricted-(imports|globals|properties)|no-console/;

describe('layer rules', () => {
  let house = '';
  let diagnostics: Diagnostic[] = [];

  beforeAll(() => {
    house = mkdtempSync(join(tmpdir(), 'holdfast-layers-'));
    writeFileSync(join(house, '.oxlintrc.json'), readFileSync(join(root, '.oxlintrc.json')));
    plant(house, [...violations, ...allowed]);
    diagnostics = lint(house).filter(({ code }) => restricting.test(code));
  });
  afterAll(() => rmSync(house, { recursive: true, force: true }));

  it.each(violations)('%s may not: %s', (file) => {
    expect(diagnostics.map(({ filename }) => filename)).toContain(file);
  });

  it.each(allowed)('%s may: %s', (file) => {
    expect(diagnostics.filter(({ filename }) => filename === file)).toEqual([]);
  });
});

describe('imports at run time', () => {
  /** The linter sees static imports only; `import()` of another room would slip through. */
  const rooms = /^(domain|lib|services|gateway|api|adapters|config)\//;
  const crossing =
    /\bimport\(\s*['"`](?:\.\.\/)+(?:agent|adapters|api|cli|config|domain|gateway|lib|services)\//;

  it('never reach into another room', () => {
    const source = join(root, 'backend/src');
    const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter(
      (name) => rooms.test(name) && name.endsWith('.ts'),
    );
    expect(files.length).toBeGreaterThan(0);
    expect(files.filter((name) => crossing.test(readFileSync(join(source, name), 'utf8')))).toEqual([]);
  });

  it('would be noticed', () => {
    expect(`const x = await import('../adapters/clock.js');`).toMatch(crossing);
    expect(`type X = import('./model.js').X;`).not.toMatch(crossing);
  });
});
