import { spawnSync } from 'node:child_process';
import { pbkdf2Sync, randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { BreadcrumbMemory } from '../seams.js';
import { callers } from './callers.js';
import { createCrumbWriter, readCrumb } from './crumb.js';

function memory(bytes = 8 * 1024): BreadcrumbMemory {
  return {
    state: new Float64Array(new SharedArrayBuffer(4 * 8)),
    text: new Uint8Array(new SharedArrayBuffer(bytes)),
  };
}

describe('a breadcrumb', () => {
  it('is read as it was left, until it is cleared', () => {
    const shared = memory();
    const writer = createCrumbWriter(shared);
    expect(readCrumb(shared)).toBeNull();
    const crumb = { what: 'a child process (déjà)', stack: ['blockHere (/app/ü.js:1:2)'] };
    writer.leave(crumb);
    expect(readCrumb(shared)).toEqual(crumb);
    writer.leave({ what: 'x', stack: [] });
    expect(readCrumb(shared)).toEqual({ what: 'x', stack: [] });
    writer.clear();
    expect(readCrumb(shared)).toBeNull();
  });

  it('gives up outer frames where there is no room for all', () => {
    const shared = memory(256);
    const stack = Array.from({ length: 32 }, (_, i) => `f${i} (/app/server.js:${i}:1)`);
    createCrumbWriter(shared).leave({ what: 'cryptography', stack });
    const kept = readCrumb(shared)!.stack;
    expect(kept.length).toBeGreaterThan(2);
    expect(kept).toEqual(stack.slice(0, kept.length));
  });

  it('that is half written is no breadcrumb', () => {
    const shared = memory();
    createCrumbWriter(shared).leave({ what: 'cryptography', stack: [] });
    shared.state[1] = 7;
    expect(readCrumb(shared)).toBeNull();
  });
});

describe('the callers', () => {
  const before = Object.getOwnPropertyDescriptors(Error);
  afterEach(() => {
    for (const name of ['prepareStackTrace', 'stackTraceLimit'] as const) {
      const was = before[name as keyof typeof before];
      if (was === undefined) Reflect.deleteProperty(Error, name);
      else Object.defineProperty(Error, name, was);
    }
  });

  it('are named, innermost first, whatever limit the application has set', () => {
    Error.stackTraceLimit = 0;
    const agent = (): readonly string[] => callers(agent);
    function blockHere(): readonly string[] {
      return agent();
    }
    const stack = blockHere();
    expect(stack[0]).toMatch(/^blockHere \(\/.*breadcrumbs\.test\.ts:\d+:\d+\)$/);
    expect(stack.length).toBeGreaterThan(1);
    expect(Error.stackTraceLimit).toBe(0);
  });

  it('never run what the application has put into prepareStackTrace, and leave it in place', () => {
    const own = vi.fn(() => 'own');
    Error.prepareStackTrace = own;
    const agent = (): readonly string[] => callers(agent);
    expect(agent().length).toBeGreaterThan(0);
    expect(own).not.toHaveBeenCalled();
    expect(Error.prepareStackTrace).toBe(own);
    expect(new Error('x').stack).toBe('own');
  });

  it('are not looked at where the application watches what is done to Error', () => {
    const set = vi.fn();
    Object.defineProperty(Error, 'prepareStackTrace', { get: () => undefined, set, configurable: true });
    const agent = (): readonly string[] => callers(agent);
    expect(agent()).toEqual([]);
    expect(set).not.toHaveBeenCalled();
  });
});

// Wrapped for good: the wrappers of this process write into `shared` from here on.
describe('with breadcrumbs installed', async () => {
  const { installBreadcrumbs } = await import('./breadcrumbs.js');
  const shared = memory();
  const warnings: unknown[] = [];
  process.on('warning', (warning) => warnings.push(warning));
  installBreadcrumbs(shared);

  /** What lay there while the call went on: the last text stays in memory after it was crossed out. */
  const last = (): string => Buffer.from(shared.text.slice(0, shared.state[1])).toString();

  it('a synchronous child process leaves one, and takes it away', () => {
    const { stdout, status } = spawnSync('/bin/echo', ['secret'], { encoding: 'utf8' });
    expect({ stdout, status }).toEqual({ stdout: 'secret\n', status: 0 });
    expect(last()).toContain('"what":"a child process (echo)"');
    expect(last()).not.toContain('secret');
    expect(readCrumb(shared)).toBeNull();
  });

  it.skipIf(!hasCryptoBinding())('heavy cryptography leaves one, and takes it away', () => {
    expect(pbkdf2Sync('a', 'b', 10, 8, 'sha512')).toHaveLength(8);
    expect(last()).toContain('cryptography (PBKDF2)');
    expect(readCrumb(shared)).toBeNull();
  });

  it('light cryptography leaves none', () => {
    shared.text.fill(0);
    randomBytes(16);
    expect(last()).not.toContain('cryptography');
  });

  it('nobody was warned of anything', async () => {
    await new Promise((resolve) => setImmediate(resolve));
    expect(warnings).toEqual([]);
    expect(Object.hasOwn(process, 'noDeprecation')).toBe(false);
  });
});

/** Node 24 gives it to nobody. */
function hasCryptoBinding(): boolean {
  return Number(process.versions.node.split('.')[0]) < 24;
}
