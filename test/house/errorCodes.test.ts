/**
 * Error codes. Every code in the sources stands in the list that the documentation is made from, and the other way round.
 * What the API documents as refusals of its operations is what the control plane refuses with, so that a client that was
 * written from the document meets no code that it does not know.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { CODE_GROUPS } from '../../backend/src/domain/errorCodes.js';
import { operationRoutes } from '../../backend/src/api/routes/operations.js';
import { MemoryControlPlane } from '../../backend/src/api/testing/memoryControlPlane.js';

const source = fileURLToPath(new URL('../../backend/src/', import.meta.url));
const read = (file: string): string => readFileSync(`${source}${file}`, 'utf8');
const codesIn = (text: string, pattern: RegExp): string[] => [
  ...new Set([...text.matchAll(pattern)].map((match) => match[1] ?? '')),
];

const services = readdirSync(`${source}services`, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
  .map((name) => read(`services/${name}`))
  .join('\n');
const IN_TEXT = /`([a-z0-9]+\.[a-z-]+)`/g;
const THROWN = /(?:refuse|HoldfastError)\(\s*'([a-z0-9]+\.[a-z-]+)'/g;

const routes = operationRoutes(new MemoryControlPlane());
const documented = routes.map(
  ({ path, refusals }) => [path, codesIn(Object.values(refusals ?? {}).join(' '), IN_TEXT)] as const,
);

describe.each(documented)('%s', (_path, codes) => {
  it('documents refusals that the services know', () => {
    expect(codes).not.toEqual([]);
    expect(codes.filter((code) => !services.includes(`'${code}'`))).toEqual([]);
  });
});

it('every refusal of the control plane is documented by an operation, and named in its contract', () => {
  const contract = codesIn(read('domain/views/controlPlane.ts'), IN_TEXT);
  const all = documented.flatMap(([, codes]) => codes);
  const thrown = codesIn(
    read('services/highAvailabilityManager.ts') + read('services/act/refusals.ts'),
    THROWN,
  ).filter((code) => !code.startsWith('gateway.'));
  expect(thrown).toContain('scale.not-above-current');
  expect({ undocumented: thrown.filter((code) => !all.includes(code)) }).toEqual({ undocumented: [] });
  expect({ unnamed: all.filter((code) => !contract.includes(code)) }).toEqual({ unnamed: [] });
});

it('the control plane of the API’s tests refuses with codes that the real one knows', () => {
  const codes = codesIn(read('api/testing/memoryControlPlane.ts'), THROWN);
  expect(codes).toContain('scale.above-max');
  expect(codes.filter((code) => !services.includes(`'${code}'`))).toEqual([]);
});

describe('the list of codes', () => {
  const listed = CODE_GROUPS.flatMap(({ codes }) => Object.keys(codes));
  /** Dotted words that are something else: files, and fields of the kernel. */
  const FILE = /\.(?:js|css|json|jsonl|yml|log|txt|lock|sock|pid|html|heapprofile)$/;
  const events = codesIn(read('domain/events.ts'), /'([\w.]+)':/g);
  const used = readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .filter((name) => !/(?:^|\/)testing\/|^agent\/|^adapters\/meters\/|errorCodes\.ts$/.test(name))
    .flatMap((name) => codesIn(read(name), /'([a-z0-9]+\.[a-z][a-z0-9-]+)'/g))
    .filter((code) => !FILE.test(code));

  it('has every code of the sources', () => {
    expect(used).toContain('upstream.none');
    expect([...new Set(used)].filter((code) => !listed.includes(code) && !events.includes(code))).toEqual([]);
  });

  it('has none that the sources do not know, and none twice', () => {
    expect(listed.filter((code) => !used.includes(code))).toEqual([]);
    expect(listed.filter((code, index) => listed.indexOf(code) !== index)).toEqual([]);
  });
});
