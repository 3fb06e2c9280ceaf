import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { EventRecord } from '../../domain/events.js';
import type { Logger } from '../../ports.js';
import { FileHistory, type FileHistoryOptions } from './fileHistory.js';

let directory: string;
let file: string;
let logged: string[];
let histories: FileHistory[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-history-'));
  file = join(directory, 'data', 'events.jsonl');
  logged = [];
  histories = [];
});
afterEach(async () => {
  await Promise.all(histories.map((history) => history.close()));
  rmSync(directory, { recursive: true, force: true });
});

const note = (message: string, fields?: Readonly<Record<string, unknown>>): void => {
  logged.push(`${message} ${JSON.stringify(fields)}`);
};
const logger: Logger = { debug: note, info: note, warn: note, error: note };

async function openHistory(options: Partial<FileHistoryOptions> = {}): Promise<FileHistory> {
  const history = await FileHistory.open({ file, logger, ...options });
  histories.push(history);
  return history;
}

function event(seq: number, service = 'shop'): EventRecord {
  const at = new Date(1_700_000_000_000 + seq * 1_000).toISOString();
  return { seq, type: 'service.reset', at, service, data: { service, by: 'test' } };
}

const seqs = (events: readonly EventRecord[]): number[] => events.map(({ seq }) => seq);

describe('FileHistory', () => {
  it('answers by time, service and limit, newest last', async () => {
    const history = await openHistory();
    for (let seq = 1; seq <= 10; seq += 1) history.append(event(seq, seq % 2 === 0 ? 'shop' : 'mail'));
    expect(seqs(history.query({ limit: 3 }))).toEqual([8, 9, 10]);
    expect(seqs(history.query({ limit: 100, service: 'mail' }))).toEqual([1, 3, 5, 7, 9]);
    const sinceMs = Date.parse(event(7).at);
    expect(seqs(history.query({ limit: 100, sinceMs }))).toEqual([7, 8, 9, 10]);
    expect(seqs(history.query({ limit: 1, sinceMs, service: 'mail' }))).toEqual([9]);
    expect(history.query({ limit: 0 })).toEqual([]);
    expect(history.query({ limit: 5, service: 'other' })).toEqual([]);
  });

  it('remembers a bounded number', async () => {
    const history = await openHistory({ capacity: 5 });
    for (let seq = 1; seq <= 12; seq += 1) history.append(event(seq));
    expect(seqs(history.query({ limit: 100 }))).toEqual([8, 9, 10, 11, 12]);
  });

  it('survives a restart', async () => {
    const first = await openHistory();
    for (let seq = 1; seq <= 5; seq += 1) first.append(event(seq));
    await first.close();
    expect(statSync(file).mode & 0o777).toBe(0o600);

    const second = await openHistory();
    expect(second.query({ limit: 100 })).toEqual([1, 2, 3, 4, 5].map((seq) => event(seq)));
    second.append(event(6));
    await second.close();
    expect(seqs((await openHistory({ capacity: 4 })).query({ limit: 100 }))).toEqual([3, 4, 5, 6]);
    expect(logged).toEqual([]);
  });

  it('reads back over a rotation, from files that stay bounded', async () => {
    const first = await openHistory({ maxBytes: 4_000 });
    for (let seq = 1; seq <= 200; seq += 1) first.append(event(seq));
    await first.close();
    expect(statSync(file).size).toBeLessThanOrEqual(4_000);
    expect(statSync(`${file}.1`).size).toBeLessThanOrEqual(4_000);

    const kept = seqs((await openHistory()).query({ limit: 1_000 }));
    expect(kept.length).toBeGreaterThan(readFileSync(file, 'utf8').split('\n').length);
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, i) => 200 - kept.length + 1 + i));
  });

  it('skips and counts what is no event', async () => {
    const first = await openHistory();
    first.append(event(1));
    await first.close();
    appendFileSync(
      file,
      'garbage\n{"seq":2}\nnull\n[]\n{"seq":3,"type":"x","at":"never","service":null,"data":{}}\n',
    );
    appendFileSync(file, `\n${JSON.stringify(event(4))}\n{"seq":5,"ty`);

    const second = await openHistory();
    expect(seqs(second.query({ limit: 100 }))).toEqual([1, 4]);
    expect(logged).toEqual([expect.stringMatching(/damaged.*"skipped":6/)]);
  });

  it('reads only the end of a file that is larger than it could have become', async () => {
    mkdirSync(join(directory, 'data'));
    const line = (seq: number): string => `${JSON.stringify(event(seq))}\n`;
    writeFileSync(file, Array.from({ length: 30_000 }, (_, i) => line(i)).join(''));
    expect(statSync(file).size).toBeGreaterThan(2 * 1024 * 1024);
    expect(seqs((await openHistory()).query({ limit: 3 }))).toEqual([29_997, 29_998, 29_999]);
    expect(logged).toEqual([]);
  });

  it('starts and remembers when the place is unusable, and counts what is not kept', async () => {
    mkdirSync(file, { recursive: true });
    const history = await openHistory();
    history.append(event(1));
    expect(seqs(history.query({ limit: 10 }))).toEqual([1]);
    await history.close();
    expect(history.dropped()).toBe(1);
    expect(logged).toEqual([
      expect.stringMatching(/cannot be read.*EISDIR/),
      expect.stringMatching(/cannot be written.*EISDIR/),
    ]);
  });
});
