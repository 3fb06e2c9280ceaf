/** Puts packages of a registry where a test can use them, in the exact versions of packages.json. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from '../support/deployment.js';
import { runToEnd } from '../support/checkout.js';
import { cleanEnv } from '../support/pm2.js';

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly overrides?: Readonly<Record<string, string>>;
}

const manifests = JSON.parse(
  readFileSync(join(repository, 'test/nightly/packages.json'), 'utf8'),
) as Readonly<Record<string, Manifest>>;

const INSTALL_TIMEOUT_MS = 600_000;

export interface Installed {
  /** Its `node_modules` has the packages. */
  readonly folder: string;
  /** "verdaccio 6.8.0". */
  readonly text: string;
}

/**
 * Installs what the manifest names, into run/nightly/NAME. It stays there: later runs with the same manifest need no
 * network. Rejects with npm's output when that fails; nothing is skipped.
 */
export async function install(name: string): Promise<Installed> {
  const manifest = manifests[name];
  const [first] = Object.entries(manifest?.dependencies ?? {});
  if (manifest === undefined || first === undefined) throw new Error(`packages.json does not name ${name}`);
  const folder = join(repository, 'run/nightly', name);
  const wanted = JSON.stringify({ private: true, ...manifest }, null, 2);
  const [file, done] = [join(folder, 'package.json'), join(folder, 'installed.json')];
  if (!existsSync(done) || readFileSync(done, 'utf8') !== wanted) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(file, wanted);
    const args = ['install', '--prefix', folder, '--no-audit', '--no-fund', '--no-package-lock'];
    const { code, stdout, stderr } = await runToEnd('npm', args, npmEnv(), folder, INSTALL_TIMEOUT_MS);
    if (code !== 0) throw new Error(`npm could not install ${name}:\n${stdout}${stderr}`);
    writeFileSync(done, wanted);
  }
  return { folder, text: first.join(' ') };
}

/** Behind a proxy that looks into TLS, npm needs the certificates that this shell names. */
function npmEnv(): Record<string, string> {
  const { NODE_EXTRA_CA_CERTS: certificates } = process.env;
  return cleanEnv(certificates === undefined ? {} : { NODE_EXTRA_CA_CERTS: certificates });
}
