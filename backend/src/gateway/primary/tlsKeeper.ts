/**
 * Keeps what workers serve TLS with: reads the certificates, judges them, reads them again every other second, and
 * gives workers what is new and good.
 *
 *   read ──▶ as before: nothing        read ──▶ new, and the same at the next reading ──▶ good: handed out
 *                                                                                     └─▶ bad: reported, the old stay
 *
 * A renewal writes the certificate and then its key; between the two they don't fit. Nothing is judged before it has
 * been the same twice, so that this is not reported as a broken pair.
 *
 * The key for session tickets is the same in all workers, and a new one from time to time: who steals it can read the
 * sessions of that time only (TLS 1.2), or none (1.3).
 */
import { createHash, randomBytes } from 'node:crypto';
import type { CertificateSource, CertificateText, Clock, Logger } from '../../ports.js';
import { checkCertificates, type CertificateFact } from '../tls/certificates.js';
import type { TlsMaterial } from '../tls/contexts.js';

export interface TlsKeeperOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly source: CertificateSource;
  readonly minVersion: TlsMaterial['minVersion'];
  /** Workers are to have this from now on. */
  readonly onMaterial: (material: TlsMaterial) => void;
}

const READ_INTERVAL_MS = 2_000;
const TICKET_KEY_LIFETIME_MS = 12 * 3_600_000;
const TICKET_KEY_BYTES = 48;
const DAY_MS = 24 * 3_600_000;
/** Renewal is due long before; who has not renewed by now has forgotten. */
const WARN_BEFORE_MS = 14 * DAY_MS;

export class TlsKeeper {
  readonly #options: TlsKeeperOptions;
  #certificates: readonly (CertificateText & CertificateFact)[] = [];
  #ticketKeys = newTicketKeys();
  #ticketKeysSinceMs: number;
  /** Of the certificates in use, of those judged last, of those seen last. */
  #inUse = '';
  #judged = '';
  #seen = '';
  #problems: readonly string[] = [];
  #warnedAtMs: number | null = null;
  #cancel: () => void = () => undefined;
  #closed = false;

  constructor(options: TlsKeeperOptions) {
    this.#options = options;
    this.#ticketKeysSinceMs = options.clock.nowMs();
  }

  /** Reads for the first time and goes on from there. @returns why TLS can't be served, or null. */
  async start(): Promise<string | null> {
    const reading = await this.#options.source.read();
    this.#seen = digestOf(reading);
    this.#judge(reading);
    if (this.#certificates.length === 0) return this.#problems.join(' ');
    this.#warn();
    this.#scheduleNext();
    return null;
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
  }

  /** null before `start`. */
  get material(): TlsMaterial | null {
    if (this.#certificates.length === 0) return null;
    return {
      certificates: this.#certificates,
      ticketKeys: this.#ticketKeys,
      minVersion: this.#options.minVersion,
    };
  }

  get facts(): readonly CertificateFact[] {
    return this.#certificates.map(({ name, names, endsAtMs }) => ({ name, names, endsAtMs }));
  }

  /** What is wrong until somebody acts, a sentence each. */
  get problems(): readonly string[] {
    const wallMs = this.#options.clock.wallMs();
    return [...this.#problems, ...this.#certificates.flatMap((fact) => endingSoon(fact, wallMs) ?? [])];
  }

  #scheduleNext(): void {
    if (this.#closed) return;
    this.#cancel = this.#options.clock.after(READ_INTERVAL_MS, () => {
      void this.#look().then(() => this.#scheduleNext());
    });
  }

  async #look(): Promise<void> {
    const reading = await this.#options.source.read();
    if (this.#closed) return;
    const digest = digestOf(reading);
    const isSettled = digest === this.#seen;
    this.#seen = digest;
    if (isSettled && digest !== this.#judged) this.#judge(reading);
    this.#rotateTicketKeys();
    this.#warn();
  }

  #judge(reading: Reading): void {
    const { logger } = this.#options;
    this.#judged = this.#seen;
    const check = reading.ok ? checkCertificates(reading.certificates) : reading;
    if (!reading.ok || !check.ok) {
      this.#problems = check.ok ? [] : check.problems;
      const what = 'certificates were refused; those in use stay';
      if (this.#certificates.length > 0) logger.error(what, { problems: this.#problems });
      return;
    }
    this.#problems = [];
    if (this.#judged === this.#inUse) return; // the broken ones were put right by putting the old ones back
    this.#inUse = this.#judged;
    this.#certificates = reading.certificates.map((text, i) => ({ ...text, ...factAt(check.facts, i) }));
    logger.info('certificates are in use', { certificates: this.facts.map(describe) });
    this.#handOut();
  }

  #rotateTicketKeys(): void {
    const nowMs = this.#options.clock.nowMs();
    if (nowMs - this.#ticketKeysSinceMs < TICKET_KEY_LIFETIME_MS) return;
    this.#ticketKeysSinceMs = nowMs;
    this.#ticketKeys = newTicketKeys();
    this.#handOut();
  }

  #handOut(): void {
    if (this.material !== null) this.#options.onMaterial(this.material);
  }

  /** Once a day. */
  #warn(): void {
    const { clock, logger } = this.#options;
    const wallMs = clock.wallMs();
    const warnings = this.#certificates.flatMap((fact) => endingSoon(fact, wallMs) ?? []);
    if (warnings.length === 0) this.#warnedAtMs = null;
    else if (this.#warnedAtMs === null || clock.nowMs() - this.#warnedAtMs >= DAY_MS) {
      this.#warnedAtMs = clock.nowMs();
      for (const warning of warnings) logger.warn(warning);
    }
  }
}

type Reading = Awaited<ReturnType<CertificateSource['read']>>;

function factAt(facts: readonly CertificateFact[], index: number): CertificateFact {
  const fact = facts[index];
  if (fact === undefined) throw new Error('a certificate was not judged');
  return fact;
}

function endingSoon({ name, names, endsAtMs }: CertificateFact, wallMs: number): string | null {
  const leftMs = endsAtMs - wallMs;
  if (leftMs >= WARN_BEFORE_MS) return null;
  const what = `The certificate ${name} (${names[0] ?? 'for no name'})`;
  if (leftMs <= 0) return `${what} has ended: clients refuse it. Renew it.`;
  const days = Math.floor(leftMs / DAY_MS);
  return `${what} ends ${days === 0 ? 'within a day' : `in ${days} day${days === 1 ? '' : 's'}`}. Renew it.`;
}

function describe({ name, names, endsAtMs }: CertificateFact): string {
  return `${name}: ${names.join(', ')}, until ${new Date(endsAtMs).toISOString()}`;
}

function newTicketKeys(): string {
  return randomBytes(TICKET_KEY_BYTES).toString('base64');
}

function digestOf(reading: Reading): string {
  return createHash('sha256').update(JSON.stringify(reading)).digest('base64');
}
