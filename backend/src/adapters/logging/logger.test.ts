import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { createLogger, type LoggerOptions } from './logger.js';

let directory: string;
let file: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-log-'));
  file = join(directory, 'ha.log');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

async function linesAfter(
  use: (logger: ReturnType<typeof createLogger>) => void,
  options: Partial<LoggerOptions> = {},
): Promise<Record<string, unknown>[]> {
  const logger = createLogger({ file, ...options });
  use(logger);
  await logger.close();
  const text = readFileSync(file, 'utf8');
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('createLogger', () => {
  it('writes a JSON line each, in order, with its fields', async () => {
    const lines = await linesAfter((logger) => {
      for (let i = 0; i < 200; i += 1) logger.info('tick', { i });
      logger.error('it failed', { service: 'shop', error: new Error('why') });
    });
    expect(lines).toHaveLength(201);
    expect(lines.map((line) => line['i']).slice(0, 200)).toEqual(Array.from({ length: 200 }, (_, i) => i));
    expect(lines[200]).toMatchObject({
      level: 'error',
      message: 'it failed',
      service: 'shop',
      error: { name: 'Error', message: 'why' },
    });
    expect(new Date(String(lines[200]?.['timestamp'])).getTime()).toBeGreaterThan(Date.now() - 60_000);
  });

  it.each([
    [false, 0o600],
    [true, 0o640],
  ])('may be read by its group where that is wanted: %s', async (groupReads, mode) => {
    const before = process.umask(0o077);
    await linesAfter((logger) => logger.info('line'), { groupReads }).finally(() => process.umask(before));
    expect(statSync(file).mode & 0o777).toBe(mode);
  });

  it('leaves out what is less severe than its level', async () => {
    const lines = await linesAfter(
      (logger) => {
        logger.debug('a');
        logger.info('b');
        logger.warn('c');
        logger.error('d');
      },
      { level: 'warn' },
    );
    expect(lines.map((line) => line['message'])).toEqual(['c', 'd']);
  });

  it('redacts, and keeps its own keys its own', async () => {
    const [line] = await linesAfter((logger) => {
      logger.info('to mysql://a:hush@db/x', { message: 'mine', level: 'silly', timestamp: 0, token: 'hush' });
    });
    expect(JSON.stringify(line)).not.toContain('hush');
    expect(line).toMatchObject({ level: 'info', _message: 'mine', _level: 'silly', _timestamp: 0 });
  });

  it('writes nothing to a stdout that is no terminal, and a readable line to one that is', async () => {
    const shown: string[] = [];
    const write = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
      shown.push(String(chunk));
      return true;
    });
    const wasTerminal = Object.getOwnPropertyDescriptor(process.stdout, 'isTTY');
    const setTerminal = (value: boolean): void => {
      Object.defineProperty(process.stdout, 'isTTY', { value, configurable: true });
    };
    try {
      setTerminal(false);
      await linesAfter((logger) => logger.warn('unseen'));
      expect(shown).toEqual([]);

      setTerminal(true);
      await linesAfter((logger) => logger.warn('unseen as well'), { console: false });
      expect(shown).toEqual([]);

      await linesAfter((logger) => logger.warn('seen \u001b[2J', { service: 'shop', why: 'two words' }));
      expect(shown).toHaveLength(1);
      expect(shown[0]).toMatch(/^\d\d:\d\d:\d\d .*warn .*seen {2}\[2J {2}service=shop why="two words"\n$/);
    } finally {
      write.mockRestore();
      if (wasTerminal === undefined) Reflect.deleteProperty(process.stdout, 'isTTY');
      else Object.defineProperty(process.stdout, 'isTTY', wasTerminal);
    }
  });

  it('counts what comes after its end, and may be closed twice', async () => {
    const logger = createLogger({ file });
    logger.info('in time');
    await logger.close();
    logger.info('too late');
    await logger.close();
    expect(logger.dropped()).toBe(1);
  });

  it('survives a disk that is full and a place that cannot be', async () => {
    for (const impossible of ['/dev/full', '/dev/null/sub/x.log']) {
      const logger = createLogger({ file: impossible });
      logger.info('lost');
      await logger.close();
      expect(logger.dropped()).toBe(1);
    }
  });
});
