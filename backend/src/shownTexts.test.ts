/**
 * Texts of applications and of strangers, wherever they come out: without secrets, and with what cannot be seen, or turns the
 * direction of writing, written out, because it makes a text read as another one. In JSON it is escaped, so that programs
 * still get the same.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { renderPieces, renderSummary } from './adapters/blackBox/render.js';
import { systemClock } from './adapters/clock.js';
import { FileHistory } from './adapters/history/fileHistory.js';
import { createLogger, readable } from './adapters/logging/logger.js';
import { WebhookNotifier } from './adapters/notify/webhook.js';
import { outgoingJson } from './api/outgoing.js';
import { Terminal } from './cli/terminal.js';
import type { BlackBoxSummary } from './domain/blackBox/blackBox.js';
import type { EventRecord } from './domain/events.js';
import { problemAnswer } from './gateway/shared/answer.js';
import { html } from './gateway/html/html.js';
import { shownLabels } from './lib/secrets/ofProcess.js';
import type { Logger } from './ports.js';

const folder = mkdtempSync(join(tmpdir(), 'holdfast-shown-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const HIDDEN = ['\u202e', '\u200b', '\u2066', '\ufeff', '\u2028', '\u{e0041}'];
const text = `shop ${HIDDEN.join('x')} password=hunter22 end`;

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** As the event log hands it on, which scrubs: only what is invisible is left to those who show it. */
const eventWith = (reason: string): EventRecord =>
  ({
    seq: 1,
    type: 'instance.quarantined',
    at: '2026-11-30T10:00:00.000Z',
    service: 'shop',
    data: { service: 'shop', detail: reason },
  }) as unknown as EventRecord;
const scrubbedEvent = eventWith(text.replace('hunter22', '[redacted]'));

async function logged(): Promise<string> {
  const file = join(mkdtempSync(join(folder, 'log-')), 'ha.log');
  const log = createLogger({ file, console: false });
  log.warn(text, { reason: text, list: [text] });
  await log.close();
  return readFileSync(file, 'utf8');
}

function printed(print: (terminal: Terminal) => void, isTTY = false): string {
  let all = '';
  const stream = { isTTY, write: (more: string) => (all += more) };
  print(new Terminal(stream, stream, {}));
  return all;
}

async function remembered(): Promise<string> {
  const file = join(folder, 'events.jsonl');
  const history = await FileHistory.open({ file, logger: silent });
  history.append(scrubbedEvent);
  await history.close();
  return readFileSync(file, 'utf8');
}

/** The line for people; the event behind it is for programs. */
async function notified(): Promise<string> {
  let body = '';
  const receiver = createServer((request, response) => {
    request.setEncoding('utf8').on('data', (more: string) => (body += more));
    request.on('end', () => response.end());
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const { port } = receiver.address() as AddressInfo;
  const notifier = new WebhookNotifier({
    url: `http://127.0.0.1:${port}/`,
    logger: silent,
    clock: systemClock,
  });
  notifier.notify(scrubbedEvent);
  await notifier.close();
  receiver.close();
  return (JSON.parse(body) as { text: string }).text;
}

const problem = { status: 502, code: 'upstream.refused', message: text, reason: text } as const;
const OUTPUTS: readonly (readonly [string, () => string | Promise<string>])[] = [
  ['a log', logged],
  ['a log as people read it', async () => readable((await logged()).trim(), false) ?? ''],
  ['a line on a terminal', () => printed((terminal) => terminal.line(text))],
  ['a problem on a terminal', () => printed((terminal) => terminal.problem(text))],
  ['a detail on a terminal', () => printed((terminal) => terminal.detail(text))],
  ['a warning on a terminal', () => printed((terminal) => terminal.warning(text))],
  ['progress', () => printed((terminal) => terminal.progress(text), true)],
  ['JSON of a command', () => printed((terminal) => terminal.json({ reason: [text] }))],
  ['the history', remembered],
  ['a notification', notified],
  ['an answer of the API, and its stream', () => outgoingJson({ data: [{ reason: text }] })],
  ['a page of the gateway', () => html`<p title="${text}">${[text]}</p>`.text],
  ['a problem of the gateway, as a page', () => problemAnswer(problem, '1', true).body],
  ['a problem of the gateway, as JSON', () => problemAnswer(problem, '1', false).body],
  ['labels of metrics', () => JSON.stringify(shownLabels({ pool: text }))],
  ['a stack in a black box', () => renderPieces({ stack: text }).files[0]?.text ?? ''],
  ['stderr in a black box', () => renderPieces({ stderr: text }).files[0]?.text ?? ''],
  ['a report in a black box', () => renderPieces({ report: { why: text } }).files[0]?.text ?? ''],
  ['the summary of a black box', () => renderSummary({ service: text } as unknown as BlackBoxSummary, [])],
];

describe.each(OUTPUTS)('%s', (_where, show) => {
  it('has nothing that cannot be seen, and no secret', async () => {
    const shown = await show();
    expect(shown).toContain('shop ');
    for (const character of HIDDEN) expect(shown, JSON.stringify(character)).not.toContain(character);
    expect(shown).not.toContain('hunter22');
    expect(shown).toContain('[redacted]');
  });
});
