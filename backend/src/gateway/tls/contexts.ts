/**
 * Which certificate a client gets: by the name it asks for (SNI), exactly or by a wildcard for one label
 * (RFC 6125 section 6.4.3), else the first one.
 *
 * All contexts share one key for session tickets, which the primary gives to every worker: a client that comes back
 * to another worker resumes its session all the same. The key of the *default* context opens tickets, because a
 * session is resumed before the name is looked at; that of the chosen one seals them. So they have to be the same.
 */
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { CertificateText } from '../../ports.js';
import type { CertificateFact } from './certificates.js';

/** What workers serve TLS with. Plain data: it crosses the channel from the primary. */
export interface TlsMaterial {
  /** At least one; the first is for clients that ask for no name, or for one that nobody has. */
  readonly certificates: readonly (CertificateText & CertificateFact)[];
  /** 48 bytes, base64. */
  readonly ticketKeys: string;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
}

/** How long a session may be resumed. */
const SESSION_SECONDS = 4 * 3_600;

export class TlsContexts {
  readonly #material: TlsMaterial;
  readonly #byName = new Map<string, CertificateText & CertificateFact>();
  readonly #made = new Map<string, SecureContext>();

  constructor(material: TlsMaterial) {
    this.#material = material;
    for (const certificate of material.certificates) {
      for (const name of certificate.names) {
        const rival = this.#byName.get(name);
        // Of two for one name, the one that lasts longer: a renewed one beside the old.
        if (rival === undefined || rival.endsAtMs < certificate.endsAtMs) this.#byName.set(name, certificate);
      }
    }
  }

  /** Of the first certificate. */
  get defaults(): SecureContextOptions {
    const [first] = this.#material.certificates;
    return first === undefined ? {} : this.#options(first);
  }

  /** For a client that asks for `name`; null: the default one. */
  find(name: string): SecureContext | null {
    const lower = name.toLowerCase();
    const dot = lower.indexOf('.');
    const found = this.#byName.get(lower) ?? (dot > 0 ? this.#byName.get(`*${lower.slice(dot)}`) : undefined);
    if (found === undefined) return null;
    let context = this.#made.get(found.name);
    if (context === undefined) {
      context = createSecureContext(this.#options(found));
      this.#made.set(found.name, context);
    }
    return context;
  }

  #options({ certificate, key }: CertificateText): SecureContextOptions {
    const { ticketKeys, minVersion } = this.#material;
    return {
      cert: certificate,
      key,
      minVersion,
      ticketKeys: Buffer.from(ticketKeys, 'base64'),
      sessionIdContext: 'holdfast',
      sessionTimeout: SESSION_SECONDS,
    };
  }
}
