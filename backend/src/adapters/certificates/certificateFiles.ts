/**
 * Certificates in files: one pair by name, and every `<name>.crt` with its `<name>.key` in a directory. Read as a
 * whole each time: they are small, and a link that points elsewhere (certbot, mounted secrets) is then no special case.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { messageOf } from '../../domain/errors.js';
import type { CertificateSource, CertificateText } from '../../ports.js';

/** A chain of certificates has some kilobytes. */
const MOST_BYTES = 1_048_576;
const MOST_PAIRS = 1_000;

export interface CertificateFilesOptions {
  /** The default one. null: the first of the directory, by name. */
  readonly pair: { readonly certificate: string; readonly key: string } | null;
  /** null: none. */
  readonly directory: string | null;
}

interface Files {
  readonly certificate: string;
  readonly key: string;
}

export class CertificateFiles implements CertificateSource {
  readonly #options: CertificateFilesOptions;

  constructor(options: CertificateFilesOptions) {
    this.#options = options;
  }

  async read(): ReturnType<CertificateSource['read']> {
    const problems: string[] = [];
    const certificates: CertificateText[] = [];
    for (const files of await this.#list(problems)) {
      try {
        certificates.push({
          name: certificates.some(({ name }) => name === basename(files.certificate))
            ? files.certificate
            : basename(files.certificate),
          certificate: await readText(files.certificate),
          key: await readText(files.key),
        });
      } catch (error) {
        problems.push(`A certificate can't be read: ${messageOf(error)}.`);
      }
    }
    return problems.length === 0 ? { ok: true, certificates } : { ok: false, problems };
  }

  async #list(problems: string[]): Promise<Files[]> {
    const { pair, directory } = this.#options;
    const files: Files[] = pair === null ? [] : [pair];
    if (directory === null) return files;
    try {
      const names = (await readdir(directory)).filter((name) => name.endsWith('.crt')).sort();
      if (names.length > MOST_PAIRS) {
        problems.push(
          `There are ${names.length} certificates in ${directory}; at most ${MOST_PAIRS} are served.`,
        );
        return files;
      }
      for (const name of names) {
        const certificate = join(directory, name);
        files.push({ certificate, key: join(directory, `${name.slice(0, -'.crt'.length)}.key`) });
      }
    } catch (error) {
      problems.push(`Certificates can't be listed: ${messageOf(error)}.`);
    }
    return files;
  }
}

async function readText(file: string): Promise<string> {
  const { size } = await stat(file);
  if (size > MOST_BYTES) throw new Error(`${file} has ${size} bytes; it should be a certificate or a key`);
  return readFile(file, 'utf8');
}
