/** Self-signed certificates, made by openssl: node:crypto can read them but not make them. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { checkCertificates } from '../../backend/src/gateway/tls/certificates.js';
import type { TlsMaterial } from '../../backend/src/gateway/tls/contexts.js';

const run = promisify(execFile);

export interface CertificateRequest {
  /** Names that it is for; the first is also its subject. */
  readonly names: readonly string[];
  /** Default 30. */
  readonly days?: number;
}

export interface MadeCertificate {
  readonly name: string;
  readonly certificate: string;
  readonly key: string;
}

/** Writes `<directory>/<file>.crt` and `.key`. */
export async function makeCertificate(
  directory: string,
  file: string,
  { names, days = 30 }: CertificateRequest,
): Promise<MadeCertificate> {
  const certificateFile = join(directory, `${file}.crt`);
  const keyFile = join(directory, `${file}.key`);
  const [first = 'localhost'] = names;
  await run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-keyout', keyFile, '-out', certificateFile, '-days', String(days)],
    ...['-subj', `/CN=${first}`, '-addext', `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}`],
  ]);
  return {
    name: `${file}.crt`,
    certificate: await readFile(certificateFile, 'utf8'),
    key: await readFile(keyFile, 'utf8'),
  };
}

/** What a worker serves TLS with. */
export function materialOf(
  made: readonly MadeCertificate[],
  ticketKeys = Buffer.alloc(48, 7).toString('base64'),
): TlsMaterial {
  const check = checkCertificates(made);
  if (!check.ok) throw new Error(check.problems.join(' '));
  const certificates = made.map((each, index) => ({ ...each, ...check.facts[index]! }));
  return { certificates, ticketKeys, minVersion: 'TLSv1.2' };
}
