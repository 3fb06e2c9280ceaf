/** A real browser for tests: the machine's own Chromium with a fresh profile, never anybody's. */
import { existsSync } from 'node:fs';
import { chromium, type Browser } from 'playwright-core';

const PATHS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const found = process.env['CHROMIUM'] ?? PATHS.find((path) => existsSync(path));

if (found === undefined) {
  const message = 'Chromium is not installed (apt-get install chromium, or set CHROMIUM to its path)';
  if (process.env['CI']) throw new Error(`${message}; its tests can't be left out on CI`);
  console.warn(`${message}; tests in a browser are left out`);
}

export const chromiumAvailable = found !== undefined;

/** Close it when done; its profile goes with it. */
export function launchBrowser(): Promise<Browser> {
  if (found === undefined) throw new Error('there is no Chromium: ask chromiumAvailable first');
  return chromium.launch({
    executablePath: found,
    args: ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking'],
  });
}
