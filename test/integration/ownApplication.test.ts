/**
 * The README's "Your own application", done as it stands there: its files are taken from the document, only places
 * and ports are others. In this order.
 */
import { appendFileSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { OperationReport, ServiceView } from '../../backend/src/domain/model.js';
import type { StatusView } from '../../backend/src/domain/views.js';
import { createCheckout, QUICK, type Checkout } from '../support/checkout.js';
import { waitFor } from '../support/waitFor.js';

const readme = readFileSync(fileURLToPath(new URL('../../README.md', import.meta.url)), 'utf8');

let checkout: Checkout;
let folder: string;

beforeAll(async () => {
  checkout = await createCheckout({ ...QUICK, AUTOSCALE: 'false' });
  folder = mkdtempSync(join(tmpdir(), 'holdfast-own-'));
  for (const name of ['server.js', 'ecosystem.config.js'])
    writeFileSync(join(folder, name), fromReadme(name));
  writeFileSync(join(checkout.root, '.env'), `HA_ECOSYSTEM_FILE=${join(folder, 'ecosystem.config.js')}\n`);
});
afterAll(async () => {
  await checkout.dispose();
  rmSync(folder, { recursive: true, force: true });
});

/** The block that begins with the file's path. */
function fromReadme(name: string): string {
  const [, text] = new RegExp(`\`\`\`js\\n// /srv/my-api/${name}\\n([^]*?)\`\`\``).exec(readme) ?? [];
  if (text === undefined) throw new Error(`README.md no longer has /srv/my-api/${name}`);
  return text
    .replaceAll('/opt/holdfast', checkout.root)
    .replaceAll('/srv/my-api', folder)
    .replaceAll('14000', String(checkout.backendPort));
}

async function serving(name: string, count: number): Promise<ServiceView> {
  return waitFor(
    async () => {
      const { services } = await checkout.api<StatusView>('/api/ha/status');
      return services.find((service) => service.name === name && service.serving === count);
    },
    { what: `${count} of ${name} serving`, deadlineMs: 30_000 },
  );
}

const ask = async (port: number): Promise<string> => (await fetch(`http://127.0.0.1:${port}/`)).text();

it('starts from its own ecosystem file, and is found where npm start says', async () => {
  const { code, stdout, stderr } = await checkout.npm('start');
  expect({ code, stderr }).toMatchObject({ code: 0 });
  expect(stdout).toContain('Started ha-supervisor, ha-gateway, my-api.');
  expect(stdout).toMatch(new RegExp(`my-api +http://127\\.0\\.0\\.1:${checkout.backendPort}/`));
  expect(await ask(checkout.backendPort)).toMatch(/^hello from \d+\n$/);
  expect(await ask(checkout.backendPort + 1)).toMatch(/^hello from \d+\n$/);
  const gateway = Number(checkout.env['BALANCER_PORT']);
  expect(await waitFor(() => ask(gateway), { what: 'an answer through the gateway' })).toMatch(/^hello from/);
});

it('is rolled out behind a canary', async () => {
  const before = (await serving('my-api', 2)).instances.map(({ pid }) => pid);
  const response = await fetch(`http://127.0.0.1:${checkout.haPort}/api/ha/deploy`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ serviceName: 'my-api' }),
  });
  const { data } = (await response.json()) as { data: OperationReport };
  expect(data).toMatchObject({ done: true, toInstances: 2 });
  expect(data.stopped.map(({ pid }) => pid).sort()).toEqual(before.sort());
});

it('is joined by one that PM2 runs already, as soon as config.yml names it', async () => {
  const port = checkout.frontendPort;
  copyFileSync(join(folder, 'server.js'), join(folder, 'legacy.js'));
  const definition = { apps: [{ name: 'legacy', script: 'legacy.js', cwd: folder, env: { PORT: port } }] };
  writeFileSync(join(folder, 'legacy.json'), JSON.stringify(definition));
  await checkout.pm2.pm2('start', join(folder, 'legacy.json'));
  const first = (await checkout.pm2.jlist()).find(({ name }) => name === 'legacy');
  const lines = ['services:', '  legacy:', `    startPort: ${port}`, '    minInstances: 2', ''];
  appendFileSync(join(checkout.root, 'config.yml'), lines.join('\n'));
  const { instances } = await serving('legacy', 2);
  expect(instances.map(({ pid }) => pid)).toContain(first?.pid);
  expect(instances.map((instance) => instance.port).sort()).toEqual([port, port + 1]);
  expect(await ask(port + 1)).toMatch(/^hello from \d+\n$/);
});

it('is stopped without what the ecosystem file does not define', async () => {
  const { code, stdout } = await checkout.npm('stop');
  expect(code).toBe(0);
  expect(stdout).toContain('Stopped my-api (2 processes).');
  expect(stdout).toContain("PM2's other applications go on: legacy.");
  expect(await ask(checkout.frontendPort)).toMatch(/^hello from \d+\n$/);
});
