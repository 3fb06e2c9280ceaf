/** Publishes one package after the other in an npm registry, as `npm publish` does, and reads each back. */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { NightlyTraffic } from './services.js';

export function packageText(number: number) {
  const name = `package-${number}`;
  const file = `${name}-1.0.0.tgz`;
  return { name, file, tarball: `/${name}/-/${file}` };
}

/** The document that `npm publish` sends. The registry does not look into the archive. */
function documentOf(number: number, registry: string): string {
  const { name, file, tarball } = packageText(number);
  const data = gzipSync(`the archive of ${name}`);
  const hash = (algorithm: string, encoding: 'hex' | 'base64'): string =>
    createHash(algorithm).update(data).digest(encoding);
  const dist = {
    integrity: `sha512-${hash('sha512', 'base64')}`,
    shasum: hash('sha1', 'hex'),
    tarball: `${registry}${tarball}`,
  };
  const version = { name, version: '1.0.0', _id: `${name}@1.0.0`, dist };
  const attachment = {
    content_type: 'application/octet-stream',
    data: data.toString('base64'),
    length: data.length,
  };
  return JSON.stringify({
    _id: name,
    name,
    'dist-tags': { latest: '1.0.0' },
    versions: { '1.0.0': version },
    _attachments: { [file]: attachment },
  });
}

const PAUSE_MS = 50;

export class PublishTraffic implements NightlyTraffic {
  readonly failed: string[] = [];
  sent = 0;
  readonly #registry: string;
  #stopping = false;
  #loop: Promise<void> = Promise.resolve();

  private constructor(port: number) {
    this.#registry = `http://127.0.0.1:${port}`;
  }

  static async start(port: number): Promise<PublishTraffic> {
    const traffic = new PublishTraffic(port);
    await traffic.#publish(0);
    traffic.#loop = traffic.#run();
    return traffic;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#loop;
  }

  async #run(): Promise<void> {
    for (let number = 1; !this.#stopping; number += 1) {
      await this.#publish(number);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  async #publish(number: number): Promise<void> {
    const { name, tarball } = packageText(number);
    const headers = { 'content-type': 'application/json' };
    const init = { method: 'PUT', headers, body: documentOf(number, this.#registry) };
    if (await this.#ask(`/${name}`, init)) await this.#ask(tarball, {});
  }

  async #ask(path: string, init: RequestInit): Promise<boolean> {
    this.sent += 1;
    let problem = '';
    try {
      const answer = await fetch(`${this.#registry}${path}`, {
        ...init,
        signal: AbortSignal.timeout(30_000),
      });
      const text = await answer.text();
      if (!answer.ok) problem = `HTTP ${answer.status} ${text.slice(0, 200)}`;
    } catch (error) {
      problem = String((error as { cause?: unknown }).cause ?? error);
    }
    if (problem !== '') this.failed.push(`${init.method ?? 'GET'} ${path}: ${problem}`);
    return problem === '';
  }
}
