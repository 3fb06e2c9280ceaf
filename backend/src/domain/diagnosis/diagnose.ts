/**
 * Why an instance that runs does not serve. The first rule that applies gives the answer; none applies to an instance
 * that is merely still counting its passing probes.
 *
 * `settled` means that waiting does not help. An answer settles with age, because applications register their routes and
 * connect to their databases after they listen; a 503 is how an application says that it is not ready yet, and a process
 * that listens nowhere may still be loading, so these two settle when the time to start is over.
 */
import { fatalErrorIn } from './fatalError.js';
import type {
  Diagnosis,
  DiagnosisCode,
  HttpAnswer,
  HttpFacts,
  ListenAddress,
  RunningFacts,
} from './facts.js';
import { hostRefusal, maybeHost } from './hostRefusal.js';
import { begins, isLoopbackReach, place, range, seconds, subjectName, withoutSecrets } from './words.js';

/** Older than this, what is wrong with an answer or a port will not mend itself. */
const ANSWER_SETTLES_MS = 5_000;
/** An application that fails while it connects to what it needs gets a little longer. */
const FAILURE_SETTLES_MS = 10_000;
/** Errors of a program, not of what it talks to: such a one will not listen later. PM2 keeps it running all the same. */
const NEVER_MENDS =
  /^(?:SyntaxError|ReferenceError|TypeError)\b|ERR_MODULE_NOT_FOUND|Cannot find (?:module|package) /;

type Finding = Pick<Diagnosis, 'code' | 'what' | 'advice' | 'settled'>;

/** @returns null when nothing is wrong, or nothing can be said yet. */
export function diagnose(facts: RunningFacts): Diagnosis | null {
  const finding = find(facts);
  if (finding === null) return null;
  const { service, instance, log } = facts;
  return { service, instance, log, ...finding };
}

function find(facts: RunningFacts): Finding | null {
  const { instance, answer, holder, probe } = facts;
  if (instance.port === null || answer === null) return null;
  // What answers there is another program: its answers say nothing about this one.
  if (holder !== null) return takenPort(facts, instance.port, holder.by);
  switch (answer.kind) {
    case 'refused':
      return withoutListener(facts, instance.port);
    case 'silent':
      return noAnswer(facts, answer);
    case 'not-http':
      return probe.kind === 'tcp' ? null : notHttp(facts, instance.port, answer);
    case 'failed':
      return null;
    case 'answered':
      return probe.kind === 'tcp' ? null : badAnswer({ ...facts, probe }, answer);
  }
}

function takenPort(facts: RunningFacts, port: number, by: string): Finding {
  return {
    code: 'port-taken',
    what: `${subjectName(facts)}: port ${port} was given to it, but ${by} listens there.`,
    advice: `End that process, or give ${facts.service} other ports (its port in the ecosystem file, or startPort).`,
    settled: true,
  };
}

function withoutListener(facts: RunningFacts, port: number): Finding | null {
  const { listening } = facts;
  const asked = `${request(facts, port)} was refused`;
  if (listening === null) return notListening(facts, `${asked}: nothing listens there`, null);
  const own = listening.addresses.filter((one) => one.port === port);
  const isReached = own.some(({ address }) => isLoopbackReach(address));
  const [elsewhere] = isReached ? [] : own;
  if (elsewhere !== undefined) return wrongAddress(facts, asked, port, elsewhere);
  // It has begun to listen between two looks.
  if (own.length > 0) return null;
  if (listening.refused !== null) return refusedPort(facts, listening.refused);
  const shared = listening.addresses.find((one) => facts.siblingPorts?.includes(one.port) === true);
  if (shared !== undefined) return sharedPort(facts, asked, port, shared);
  const [path] = listening.paths ?? [];
  if (listening.addresses.length === 0 && path !== undefined) return unixSocket(facts, asked, path);
  if (listening.addresses.length > 0) return wrongPort(facts, asked, port, listening.addresses);
  return notListening(facts, `${asked}: it listens on no port`, listening);
}

function wrongAddress(facts: RunningFacts, asked: string, port: number, at: ListenAddress): Finding {
  const isLocalhost = at.address === '::1';
  const why = isLocalhost ? ' (that is what `localhost` means on this machine)' : '';
  return {
    code: 'wrong-address',
    what: `${subjectName(facts)}: ${asked}: it listens on ${place(at)}${why} and is looked for at 127.0.0.1.`,
    advice: `Let it listen on 127.0.0.1: server.listen(process.env.PORT, '127.0.0.1') instead of ${quoted(at.address, isLocalhost)}, port ${port}.`,
    settled: true,
  };
}

function quoted(address: string, isLocalhost: boolean): string {
  return isLocalhost ? "'localhost'" : `'${address}'`;
}

function wrongPort(
  facts: RunningFacts,
  asked: string,
  port: number,
  addresses: readonly ListenAddress[],
): Finding {
  const { listening, ageMs } = facts;
  const ports = [...new Set(addresses.map(place))].slice(0, 4).join(', ');
  const listens = listening?.isCertain === true ? 'it listens on' : 'PM2 listens for applications like it on';
  return {
    code: 'wrong-port',
    what: `${subjectName(facts)}: ${asked}: ${listens} ${ports} instead.`,
    advice: `Let it listen on process.env.PORT, which is ${port} here: every instance gets a port of its own.`,
    settled: ageMs >= ANSWER_SETTLES_MS,
  };
}

/** Its code names a port, which PM2's cluster mode lets all processes share. */
function sharedPort(facts: RunningFacts, asked: string, port: number, at: ListenAddress): Finding {
  return {
    code: 'shared-port',
    what: `${subjectName(facts)}: ${asked}: it listens on ${place(at)}, which another instance of ${facts.service} was given.`,
    advice:
      `Let it listen on process.env.PORT, which is ${port} here. Processes that share one port cannot be told apart: those that ` +
      `serve are kept, and none can be added or replaced.`,
    settled: facts.ageMs >= ANSWER_SETTLES_MS,
  };
}

function unixSocket(facts: RunningFacts, asked: string, path: string): Finding {
  return {
    code: 'unix-socket',
    what: `${subjectName(facts)}: ${asked}: it listens on the Unix socket ${path}, and on no port.`,
    advice: `Holdfast asks and balances ports only. Let it listen on process.env.PORT, which is ${facts.instance.port ?? ''} here.`,
    settled: facts.ageMs >= ANSWER_SETTLES_MS,
  };
}

function refusedPort(facts: RunningFacts, refused: ListenAddress & { readonly code: string }): Finding {
  const { instance } = facts;
  const isOwn = refused.port === instance.port;
  const advice = isOwn
    ? 'End what holds that port, or give the service other ports.'
    : `Let it listen on process.env.PORT, which is ${instance.port ?? ''} here.`;
  return {
    code: refused.code === 'EACCES' ? 'port-forbidden' : 'port-taken',
    what: `${subjectName(facts)}: it could not listen on port ${refused.port} (${refused.code}) and listens nowhere else.`,
    advice,
    settled: true,
  };
}

function notListening(facts: RunningFacts, asked: string, listening: RunningFacts['listening']): Finding {
  const { ageMs, startTimeoutMs, mode, log } = facts;
  const known = listening?.isCertain === true;
  const error = log === null ? null : fatalErrorIn(log.lines);
  if (error !== null) {
    const at = error.at === null ? '' : ` (${error.at})`;
    return {
      code: 'not-listening',
      what: `${subjectName(facts)}: ${asked} ${seconds(ageMs)} after its start. Its last error: ${error.headline}${at}.`,
      advice: 'Mend what its log says, then deploy it.',
      settled: ageMs >= (NEVER_MENDS.test(error.headline) ? ANSWER_SETTLES_MS : startTimeoutMs),
    };
  }
  return {
    code: 'not-listening',
    what: `${subjectName(facts)}: ${asked} ${seconds(ageMs)} after its start.`,
    advice: known
      ? `If it only starts slowly, raise startTimeout (now ${seconds(startTimeoutMs)}); otherwise see why it never calls listen(process.env.PORT).`
      : `Does it listen on process.env.PORT (${facts.instance.port ?? ''})${fixedPort(facts)}? ${mode === 'cluster' ? 'Its agent could tell (withAgent in the ecosystem file).' : 'If it only starts slowly, raise startTimeout.'}`,
    settled: ageMs >= startTimeoutMs,
  };
}

/** Without an agent, what listens on the ports of the other instances cannot be told apart. */
function fixedPort({ siblingPorts = [], mode }: RunningFacts): string {
  const [first] = siblingPorts;
  return mode === 'cluster' && first !== undefined ? ` and not on a fixed port, such as ${first}` : '';
}

function noAnswer(facts: RunningFacts, { waitedMs }: Extract<HttpAnswer, { kind: 'silent' }>): Finding {
  const port = facts.instance.port ?? 0;
  const others = alternatives(facts);
  return {
    code: 'no-answer',
    what: `${subjectName(facts)}: ${request(facts, port)} was accepted and not answered within ${seconds(waitedMs)}${others.found}.`,
    advice: others.advice ?? 'See what its handler of that path waits for.',
    settled: facts.ageMs >= FAILURE_SETTLES_MS,
  };
}

function notHttp(
  facts: RunningFacts,
  port: number,
  answer: Extract<HttpAnswer, { kind: 'not-http' }>,
): Finding {
  const asked = `${subjectName(facts)}: ${request(facts, port)}`;
  if (answer.speaksTls) {
    return {
      code: 'speaks-tls',
      what: `${asked} failed: it speaks TLS (https) there.`,
      advice: 'Let it speak plain HTTP: the gateway can speak TLS towards clients (TLS_CERT, TLS_KEY).',
      settled: true,
    };
  }
  return {
    code: 'not-http',
    what: `${asked} brought no HTTP answer: ${answer.detail}.`,
    advice: `If it speaks another protocol, set healthProbe: tcp for ${facts.service}; the gateway forwards HTTP only.`,
    settled: facts.ageMs >= ANSWER_SETTLES_MS,
  };
}

function badAnswer(facts: HttpFacts, answer: Extract<HttpAnswer, { kind: 'answered' }>): Finding | null {
  const { probe, service, ageMs } = facts;
  const { status, location, body } = answer;
  const isInRange = status >= probe.statusMin && status <= probe.statusMax;
  const asked = `${subjectName(facts)}: ${request(facts, facts.instance.port ?? 0)} answered ${status}`;
  if (isInRange) {
    if (probe.bodyIncludes === null || body.includes(probe.bodyIncludes)) return null;
    return {
      code: 'health-body',
      what: `${asked} without ${JSON.stringify(probe.bodyIncludes)} in its body, which healthBody asks for; it begins ${begins(body, probe)}.`,
      advice: `Correct healthBody of ${service}, or the answer.`,
      settled: ageMs >= ANSWER_SETTLES_MS,
    };
  }
  const target = location === null ? '' : ` to ${withoutSecrets(location, probe)}`;
  const expected = `${asked}${target}; expected is ${range(probe)}`;
  const refusal = hostRefusal(facts, answer);
  if (refusal !== null)
    return {
      code: 'host-refused',
      what: `${expected}${refusal.found}.`,
      advice: refusal.advice,
      settled: ageMs >= ANSWER_SETTLES_MS,
    };
  const others = alternatives(facts);
  const code = codeOf(status);
  return {
    code,
    what: `${expected}, healthPath is ${probe.path}${others.found}.`,
    advice:
      others.advice ??
      `${ADVICE[code] ?? 'Let the health path answer 2xx while the instance can serve.'}${maybeHost(facts, answer)}`,
    settled:
      code !== 'not-ready' && ageMs >= (code === 'health-fails' ? FAILURE_SETTLES_MS : ANSWER_SETTLES_MS),
  };
}

function codeOf(status: number): DiagnosisCode {
  if (status === 401 || status === 403 || status === 407) return 'health-path-protected';
  if (status >= 300 && status < 400) return 'health-path-redirects';
  if (status === 503) return 'not-ready';
  return status >= 400 && status < 500 ? 'health-path-missing' : 'health-fails';
}

const ADVICE: { readonly [Code in DiagnosisCode]?: string } = {
  'health-path-missing': 'Let that path answer 200, or set healthPath to one that does.',
  'health-path-protected':
    'Let the health path answer without a login, set healthPath to one that does, or let probes send what it asks for (healthHeaders).',
  'health-path-redirects': 'Set healthPath to a path that answers by itself: redirects are not followed.',
  'not-ready': 'It says so itself: see what it waits for.',
};

/** Other paths that answer, for the end of the sentence, and what to do with the first. */
function alternatives({ otherPaths, service }: RunningFacts): { found: string; advice: string | null } {
  const [first] = otherPaths;
  if (first === undefined) return { found: '', advice: null };
  return {
    found: `; ${first.path} answers ${first.status}`,
    advice: `Set healthPath: ${first.path} for ${service} if that says that it is well, or let the health path answer.`,
  };
}

function request({ probe, host }: RunningFacts, port: number): string {
  const at = place({ address: host, port });
  return probe.kind === 'tcp' ? `a connection to ${at}` : `GET http://${at}${probe.path}`;
}
