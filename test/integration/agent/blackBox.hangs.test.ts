/**
 * Every kind of hang leaves a complete black box, under load, with everything real: PM2, supervisor, agents, clients.
 * So does what only an agent can tell: a stopped process, promises that nobody settles.
 *
 * HOLDFAST_HANGS=50 makes the campaign as long as that.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { BlackBoxEntry, BlackBoxSummary } from '../../../backend/src/domain/blackBox/blackBox.js';
import type { InstanceView } from '../../../backend/src/domain/views/serviceView.js';
import { sendSignal } from '../../support/processes.js';
import type { Traffic } from '../../support/traffic.js';
import { TROUBLED, TroubledService } from '../../support/troubledService.js';
import { waitFor } from '../../support/waitFor.js';

const HANGS = Number(process.env['HOLDFAST_HANGS'] ?? 5);
const KINDS = ['busy', 'exec', 'regex', 'crypto', 'wait'] as const;

let it: TroubledService;
let traffic: Traffic;

beforeAll(async () => {
  ({ service: it, traffic } = await TroubledService.underTraffic({
    KILL_TIMEOUT: '4000',
    BLACK_BOX_MAX_ENTRIES: '200',
  }));
}, 60_000);

afterAll(async () => {
  await traffic.stop();
  await it.dispose();
}, 60_000);

interface Kept {
  readonly summary: BlackBoxSummary;
  readonly files: ReadonlyMap<string, string>;
}

/** Brings one instance into trouble; what is kept of it once it is known what came of it, read from the disk. */
async function keptOf(begin: (victim: InstanceView) => Promise<void>): Promise<Kept> {
  const [victim] = await it.untilWhole(2);
  const since = await it.lastSeq();
  await begin(victim!);
  const unfit = await it.event('instance.unfit', since, ({ data }) => data.instance?.pid === victim!.pid);
  const id = String(unfit.data['blackBox']);
  const entry = await waitFor(
    async () => {
      const { blackBoxes } = await it.get<{ blackBoxes: readonly BlackBoxEntry[] }>('blackbox');
      return blackBoxes.find((each) => each.id === id && each.outcome !== null);
    },
    { what: `${id} to be complete`, deadlineMs: 20_000 },
  );
  const folder = join(it.logDir, 'blackbox', id);
  const files = new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
  expect([...files.keys()].sort()).toEqual(entry.files.map(({ name }) => name).sort());
  for (const { name, bytes } of entry.files) {
    expect(bytes, name).toBeGreaterThan(0);
    expect(statSync(join(folder, name)).size, name).toBe(bytes);
  }
  const summary = JSON.parse(files.get('summary.json') ?? '') as BlackBoxSummary;
  expect(summary).toMatchObject({
    id,
    service: TROUBLED,
    pmId: victim!.pmId,
    pid: victim!.pid,
    omitted: [],
    outcome: { kind: 'replaced', byPmId: expect.any(Number) },
    decision: { by: 'unfit', desired: 2 },
    versions: { agent: expect.any(String), node: process.version },
  });
  expect(summary.after.map(({ type }) => type)).toEqual(
    expect.arrayContaining(['instance.unfit', 'instance.started', 'instance.serving']),
  );
  const lines = (files.get('figures.jsonl') ?? '').trimEnd().split('\n');
  const figures = lines.map((line) => JSON.parse(line) as { from: string; at: string });
  expect(figures.filter(({ from }) => from === 'agent').length).toBeGreaterThan(3);
  expect(figures.filter(({ from }) => from === 'supervisor').length).toBeGreaterThan(0);
  return { summary, files };
}

test(
  `${HANGS} hangs of all kinds: where it was blocked, the report, the figures, and who took its place`,
  async () => {
    const rows: string[] = [];
    for (let number = 0; number < HANGS; number += 1) {
      const kind = KINDS[number % KINDS.length]!;
      const { summary, files } = await keptOf((victim) => it.trouble(victim, kind));
      const sizes = [...files].map(([name, text]) => `${name} ${text.length}`).join(', ');
      rows.push(`${kind.padEnd(6)} ${summary.detail}; ${JSON.stringify(summary.outcome)}; ${sizes}`);
      if (process.env['HOLDFAST_SHOW']) console.log(rows.at(-1));
      expect(summary).toMatchObject({ cause: 'hung', hang: { detail: expect.any(String) } });
      expect(files.get('stack.txt'), kind).toMatch(/^ {4}at .*blockHere \(.*troubled\.cjs:\d+:\d+\)$/m);
      const report = JSON.parse(files.get('report.json') ?? 'null') as { header: object } | null;
      expect(report, kind).toMatchObject({ header: { processId: summary.pid } });
      expect(report, kind).not.toHaveProperty('environmentVariables');
      expect(report, kind).not.toHaveProperty('header.commandLine');
    }
    console.log(rows.slice(-KINDS.length).join('\n'));
  },
  30_000 + HANGS * 15_000,
);

test('a stopped process, and promises that nobody settles', async () => {
  const stopped = await keptOf((victim) => {
    sendSignal(victim.pid!, 'SIGSTOP');
    return Promise.resolve();
  });
  expect(stopped.summary).toMatchObject({ cause: 'stopped', hang: null });

  const stalled = await keptOf(async (victim) => {
    // What is usual has to be known first.
    await waitFor(
      async () => {
        const services = (await it.metrics()).services.find(({ name }) => name === TROUBLED);
        const agent = services?.instances.find(({ pmId }) => pmId === victim.pmId)?.agent;
        return (agent?.requestsFinished ?? 0) > 30;
      },
      { what: 'answers', deadlineMs: 20_000 },
    );
    await it.trouble(victim, 'lost');
  });
  expect(stalled.summary).toMatchObject({ cause: 'stalled', hang: null });
  expect(stalled.summary.findings.join('\n')).toMatch(/requests? without an answer/);
}, 60_000);
