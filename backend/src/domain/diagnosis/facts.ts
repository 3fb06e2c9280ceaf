/** What a diagnosis is made of, and what it says. Adapters find the facts out, `diagnose` and `diagnoseExit` judge them. */
import type { InstanceRef } from '../model.js';
import type { ProbeSpec } from '../policy.js';

export interface ListenAddress {
  /** An IP address, `::` and `0.0.0.0` included. */
  readonly address: string;
  readonly port: number;
}

/** What a process does with the network, as far as it can be told. */
export interface Listening {
  readonly addresses: readonly ListenAddress[];
  /** Unix sockets, by path. Default: not known. */
  readonly paths?: readonly string[];
  /**
   * False: PM2's daemon listens for applications in cluster mode, and which of them each address belongs to is inferred:
   * it is none that a listed instance was given.
   */
  readonly isCertain: boolean;
  /** The last address that it could not listen on; only its agent can tell. */
  readonly refused: (ListenAddress & { readonly code: string }) | null;
}

/** What came back from one HTTP request. */
export type HttpAnswer =
  | {
      readonly kind: 'answered';
      readonly status: number;
      /** Of a redirect. */
      readonly location: string | null;
      /** The first bytes of the body, as text. */
      readonly body: string;
    }
  | { readonly kind: 'refused' }
  /** The connection was accepted. */
  | { readonly kind: 'silent'; readonly waitedMs: number }
  /** The connection ended, or what came is no HTTP. */
  | { readonly kind: 'not-http'; readonly detail: string; readonly speaksTls: boolean }
  | { readonly kind: 'failed'; readonly detail: string };

/** The end of what an application wrote. Secrets are removed. */
export interface LogTail {
  readonly path: string;
  /** Oldest first. */
  readonly lines: readonly string[];
}

/** Another process that listens on an instance's port. */
export interface PortHolder {
  readonly port: number;
  /** "pid 4711 (node server.js)". */
  readonly by: string;
}

/** Why an application ended, in its own words. */
export interface FatalError {
  /** "TypeError: x is not a function": one line. */
  readonly headline: string;
  /** Where: "/srv/app/server.js:10:5"; null where it is not known. */
  readonly at: string | null;
}

export interface Subject {
  readonly service: string;
  readonly instance: InstanceRef;
  readonly mode: 'fork' | 'cluster';
  /** Since its start, or how long it ran. */
  readonly ageMs: number;
}

/** Of an instance that runs and does not serve. */
export interface RunningFacts extends Subject {
  /** Where it was asked, without brackets. */
  readonly host: string;
  readonly probe: ProbeSpec;
  /** null: it has no port to ask at. */
  readonly answer: HttpAnswer | null;
  /** Other paths that answer 2xx or 3xx, the likeliest health path first. */
  readonly otherPaths: readonly { readonly path: string; readonly status: number }[];
  /** What the health path answers when it is asked as another host. Default: it was not asked so. */
  readonly otherHost?: { readonly host: string; readonly status: number } | null;
  /** null: can't be told. */
  readonly listening: Listening | null;
  /** The ports that its other instances were given. Default: none. */
  readonly siblingPorts?: readonly number[];
  /** Of the instance's port. */
  readonly holder: PortHolder | null;
  readonly log: LogTail | null;
  /** After which a starting instance is given up. */
  readonly startTimeoutMs: number;
}

/** Of one that is probed by HTTP. */
export type HttpFacts = RunningFacts & { readonly probe: HttpSpec };
export type HttpSpec = Extract<ProbeSpec, { kind: 'http' }>;

/** Of an instance that ended by its own fault. */
export interface ExitFacts extends Subject {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly error: FatalError | null;
  /** Who listens on the port that the error names. */
  readonly holder: PortHolder | null;
  readonly hasAgent: boolean;
  readonly log: LogTail | null;
  /** How often in a row instances of the service ended without having served, this one included. */
  readonly times: number;
}

export const DIAGNOSES = [
  'health-path-missing', // the health path answers 404 or the like
  'health-path-protected', // 401, 403
  'host-refused', // the application answers only hosts on a list
  'health-path-redirects', // to somewhere, and redirects do not count as healthy
  'health-fails', // 5xx, or another status out of range
  'health-body', // the status is right, the text is not in the body
  'not-ready', // it says so itself: 503
  'no-answer', // it accepts and does not answer
  'not-http', // it speaks something else
  'speaks-tls',
  'wrong-port', // it listens, but not on its port
  'shared-port', // it listens on the port of another instance of its service
  'unix-socket', // it listens on a Unix socket, and on no port
  'wrong-address', // it listens on its port, but not where it is looked for
  'not-listening', // it listens nowhere
  'port-taken', // another process listens there
  'port-forbidden', // a port below 1024, without the right to it
  'module-missing',
  'syntax-error',
  'crashed', // with an error of its own
  'ended', // by itself, without an error
  'cannot-start', // PM2 refuses
] as const;

export type DiagnosisCode = (typeof DIAGNOSES)[number];

/** Why a service does not serve as it should, as far as it can be seen from outside. */
export interface Diagnosis {
  readonly code: DiagnosisCode;
  readonly service: string;
  /** null: there is none, because PM2 starts none. */
  readonly instance: InstanceRef | null;
  /** What was expected and what came; names service, instance, port and path. */
  readonly what: string;
  /** What to do about it. */
  readonly advice: string;
  /** Waiting does not help. */
  readonly settled: boolean;
  readonly log: LogTail | null;
}

/** One line for people. */
export function diagnosisText({ what, advice }: Pick<Diagnosis, 'what' | 'advice'>): string {
  return `${what} ${advice}`;
}
