import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';

import { parseMembers } from '../../domain/upstreams/members.js';
import { discoveryContract, Listening } from '../../../../test/support/discoveryContract.js';
import { waitFor } from '../../../../test/support/waitFor.js';
import { FileDiscovery, type FileReading } from './file.js';

/** A list of members; its length stands for what else a file may say. */
function parse(text: string): FileReading<number> {
  const reading = parseMembers(text);
  return reading.ok ? { ok: true, members: reading.members, document: text.length } : reading;
}

function openFile(
  file: string,
  onDocument: (document: number) => void = () => undefined,
): FileDiscovery<number> {
  return new FileDiscovery({ file, parse, onDocument, debounceMs: 10, pollMs: 50, missingMs: 60 });
}

const folder = (): string => mkdtempSync(join(tmpdir(), 'holdfast-file-source-'));

discoveryContract(() => {
  const directory = folder();
  const file = join(directory, 'pool');
  return Promise.resolve({
    open: () => openFile(file),
    say: (members) => writeFileSync(file, members.map(({ id }) => id).join(',')),
    fail: () => writeFileSync(file, 'nonsense'),
    // It is looked at with every poll.
    asked: () => performance.now() / 50,
    close: () => {
      rmSync(directory, { recursive: true, force: true });
      return Promise.resolve();
    },
  });
});

describe('a watched file', () => {
  function follow(): { file: string; source: Listening; documents: number[] } {
    const directory = folder();
    const file = join(directory, 'pool');
    const documents: number[] = [];
    const source = new Listening(openFile(file, (document) => documents.push(document)));
    onTestFinished(async () => {
      await source.discovery.close();
      rmSync(directory, { recursive: true, force: true });
    });
    return { file, source, documents };
  }

  it('may come later, be replaced by renaming, and vanish', async () => {
    const { file, source } = follow();
    expect(await source.hearsProblem()).toBe(`${file} does not exist`);
    writeFileSync(file, 'a:1');
    await source.hears('a:1');
    writeFileSync(`${file}.new`, 'a:1,b:2');
    renameSync(`${file}.new`, file);
    await source.hears('a:1', 'b:2');
    rmSync(file);
    await waitFor(() => source.problems.length === 2, { what: 'the second problem' });
    expect(source.ids).toEqual(['a:1', 'b:2']);
  });

  it('says what is wrong, all of it, and hands on what else the file says', async () => {
    const { file, source, documents } = follow();
    writeFileSync(file, 'a:1');
    await source.hears('a:1');
    writeFileSync(file, 'x,y:0');
    await waitFor(() => source.problems.some((text) => text.startsWith(`${file}: "x" is not`)), {
      what: 'the problems',
    });
    expect(source.problems.at(-1)).toContain('"y:0": the port must be');
    writeFileSync(file, 'a:1;weight=2');
    await waitFor(() => source.lists.at(-1)?.[0]?.weight === 2, { what: 'the new weight' });
    expect(documents).toEqual([3, 12]);
  });
});
