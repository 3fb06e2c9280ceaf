import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BLACK_BOX } from '../testing/memoryViews.js';
import { startHarness } from '../testing/harness.js';
import type { Harness } from '../testing/harness.js';

const { id } = BLACK_BOX.entry;

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness();
});
afterAll(() => harness.close());

describe('the list', () => {
  it('has every entry with its files and their sizes', async () => {
    const { status, json } = await harness.call('GET', '/api/ha/blackbox');
    expect(status).toBe(200);
    expect(json.data).toEqual({ blackBoxes: [BLACK_BOX.entry] });
  });

  it('takes no query', async () => {
    expect((await harness.call('GET', '/api/ha/blackbox?limit=1')).status).toBe(400);
  });
});

describe('one entry', () => {
  it('is shown with its summary and its stack', async () => {
    const { status, json } = await harness.call('GET', `/api/ha/blackbox/${id}`);
    expect(status).toBe(200);
    expect(json.data).toEqual(BLACK_BOX);
  });

  it('that is unknown is 404', async () => {
    const { status, json } = await harness.call('GET', '/api/ha/blackbox/words-9-2026-01-02T03-04-05.678Z');
    expect(status).toBe(404);
    expect(json.error?.code).toBe('blackbox.unknown');
  });
});

describe('a file', () => {
  it('is sent as what it is, to be saved under a name that says whose it is', async () => {
    const { status, text, headers } = await harness.call('GET', `/api/ha/blackbox/${id}/stack.txt`);
    expect(status).toBe(200);
    expect(text).toBe(BLACK_BOX.stack);
    expect(headers).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'content-disposition': `attachment; filename="${id}-stack.txt"`,
      'x-content-type-options': 'nosniff',
    });
    const summary = await harness.call('GET', `/api/ha/blackbox/${id}/summary.json`);
    expect(summary.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(JSON.parse(summary.text)).toEqual(BLACK_BOX.summary);
  });

  it('that this one does not have is 404, and says so', async () => {
    const { status, json } = await harness.call('GET', `/api/ha/blackbox/${id}/report.json`);
    expect(status).toBe(404);
    expect(json.error?.code).toBe('blackbox.no-file');
  });

  it.each(['passwd', '..%2f..%2fsummary.json', 'summary.json%00', 'Summary.json', '.'])(
    'named %s is refused before anybody looks for it',
    async (file) => {
      harness.controlPlane.calls.length = 0;
      const { status } = await harness.call('GET', `/api/ha/blackbox/${id}/${file}`);
      expect([400, 404]).toContain(status);
      expect(harness.controlPlane.calls).toEqual([]);
    },
  );
});
