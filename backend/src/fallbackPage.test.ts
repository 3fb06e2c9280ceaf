import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { FallbackPage } from './fallbackPage.js';

const folder = mkdtempSync(join(tmpdir(), 'holdfast-page-'));
const file = join(folder, 'sorry.html');
let page: FallbackPage | null = null;
afterEach(() => {
  page?.read(null);
  rmSync(folder, { recursive: true, force: true });
});

it('is read anew when the file changes, and stays when it can be used no longer', async () => {
  writeFileSync(file, 'one');
  let changes = 0;
  page = new FallbackPage(
    () => void (changes += 1),
    () => undefined,
  );
  expect(page.read(file)).toBe('one');
  expect(page.problem).toBeNull();
  writeFileSync(file, 'two');
  await vi.waitFor(() => expect(page?.read(file)).toBe('two'), { timeout: 20_000 });
  expect(changes).toBe(1);
  writeFileSync(file, 'x'.repeat(300_000));
  await vi.waitFor(() => expect(page?.problem).toMatch(/sorry\.html, is larger than 256 KiB/), {
    timeout: 20_000,
  });
  expect(page.read(file)).toBe('two');
  expect(page.read(null)).toBeNull();
});

it('says at once that there is none', () => {
  page = new FallbackPage(
    () => undefined,
    () => undefined,
  );
  expect(page.read(join(folder, 'none.html'))).toBeNull();
  expect(page.problem).toMatch(/none\.html, is not there\. Clients get the plain 503\.$/);
});
