import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EnvReader } from '../lib/env.js';
import { readFaultSettings, type FaultSettings } from './settings.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'holdfast-faults-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const fileWith = (text: string): string => {
  const file = path.join(folder, 'fault.json');
  writeFileSync(file, text);
  return file;
};
const read = (env: Record<string, string>): FaultSettings => {
  const reader = new EnvReader({ ENABLE_FAULTS: 'true', ...env });
  const settings = readFaultSettings(reader, 'me');
  reader.finish();
  return settings;
};

describe('readFaultSettings', () => {
  it('is blind to every fault unless they are enabled', () => {
    const env = {
      FAULT_START: 'crash',
      FAULT_EXIT_AFTER_MS: '1',
      FAULT_FILE: fileWith('{"FAULT_START":"crash"}'),
    };
    expect(read({ ...env, ENABLE_FAULTS: 'false' })).toEqual({
      enabled: false,
      start: null,
      exitAfterMs: null,
    });
  });

  it('takes them from the environment, and the file over it', () => {
    expect(read({ FAULT_START: 'crash', FAULT_EXIT_AFTER_MS: '5' })).toEqual({
      enabled: true,
      start: 'crash',
      exitAfterMs: 5,
    });
    const FAULT_FILE = fileWith('{"FAULT_START":"never-listen","FAULT_EXIT_AFTER_MS":30000}');
    expect(read({ FAULT_START: 'crash', FAULT_FILE })).toMatchObject({
      start: 'never-listen',
      exitAfterMs: 30_000,
    });
  });

  it('leaves alone a service that the file does not mean, and needs no file', () => {
    const of = (service: string) =>
      read({ FAULT_FILE: fileWith(`{"service":"${service}","FAULT_START":"crash"}`) });
    expect(of('me').start).toBe('crash');
    expect(of('other').start).toBeNull();
    expect(read({ FAULT_FILE: path.join(folder, 'missing.json') }).start).toBeNull();
  });

  it.each([
    ['{', /cannot be read/],
    ['[]', /does not hold a JSON object/],
    ['{"FAULT_STRAT":"crash"}', /unknown key "FAULT_STRAT"/],
    ['{"FAULT_START":"explode"}', /FAULT_START is "explode": give one of crash, never-listen, status-500/],
    ['{"FAULT_EXIT_AFTER_MS":-1}', /FAULT_EXIT_AFTER_MS is "-1"/],
  ])('refuses a file that holds %s', (text, problem) => {
    expect(() => read({ FAULT_FILE: fileWith(text) })).toThrow(problem);
  });

  it('refuses a value that is not allowed', () => {
    expect(() => read({ ENABLE_FAULTS: 'maybe' })).toThrow(/ENABLE_FAULTS is "maybe"/);
    expect(() => read({ FAULT_START: 'explode' })).toThrow(/explode/);
  });
});
