/**
 * Certificates as they are found in files: whether they can be used, whom they are for, and when they end.
 *
 * The primary judges them before any worker hears of them: a worker never meets a pair that does not fit.
 */
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { messageOf } from '../../domain/errors.js';
import type { CertificateText } from '../../ports.js';

export interface CertificateFact {
  /** Where it came from: its file. */
  readonly name: string;
  /** The names it is for, lower case; `*.example.org` stands for one label. */
  readonly names: readonly string[];
  /** Wall clock, ms. */
  readonly endsAtMs: number;
}

export type CertificateCheck =
  | { readonly ok: true; readonly facts: readonly CertificateFact[] }
  /** A sentence each. */
  | { readonly ok: false; readonly problems: readonly string[] };

/** Judges all of them: one that is of no use spoils the set, because nobody would miss it before its clients do. */
export function checkCertificates(texts: readonly CertificateText[]): CertificateCheck {
  const facts: CertificateFact[] = [];
  const problems: string[] = [];
  for (const text of texts) {
    const read = readCertificate(text);
    if (typeof read === 'string') problems.push(`The certificate ${text.name} can't be used: ${read}.`);
    else facts.push(read);
  }
  if (texts.length === 0) problems.push('There is no certificate: put one there, with its key beside it.');
  return problems.length === 0 ? { ok: true, facts } : { ok: false, problems };
}

function readCertificate({ name, certificate, key }: CertificateText): CertificateFact | string {
  let parsed: X509Certificate;
  try {
    parsed = new X509Certificate(certificate);
  } catch (error) {
    return `its file is no certificate in PEM form (${messageOf(error)})`;
  }
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(key);
  } catch (error) {
    return `its key is no private key in PEM form without a passphrase (${messageOf(error)})`;
  }
  if (!parsed.checkPrivateKey(privateKey)) return 'its key belongs to another certificate';
  try {
    createSecureContext({ cert: certificate, key });
  } catch (error) {
    return `TLS refuses it (${messageOf(error)})`;
  }
  return { name, names: namesOf(parsed), endsAtMs: Date.parse(parsed.validTo) };
}

/** DNS names of the subject's alternatives; of an old certificate without them the common name. */
function namesOf({ subjectAltName, subject }: X509Certificate): string[] {
  const alternatives = [...(subjectAltName ?? '').matchAll(/(?:^|, )DNS:([^,"]+)/g)];
  const names = alternatives.length > 0 ? alternatives : [...(subject ?? '').matchAll(/^CN=(.+)$/gm)];
  return names.map(([, name = '']) => name.toLowerCase());
}
