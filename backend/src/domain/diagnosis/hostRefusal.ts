/** An application that answers only hosts on a list, and whether that is why it refuses its health probe. */
import type { HttpAnswer, HttpFacts } from './facts.js';
import { begins, place } from './words.js';

type Answered = Extract<HttpAnswer, { kind: 'answered' }>;

/** With these, such an application refuses a host that is not on its list. */
const OF_UNKNOWN_HOSTS: ReadonlySet<number> = new Set([400, 403, 421]);
/** The only one that means nothing else (RFC 9110, 15.5.20). */
const MISDIRECTED = 421;
/** "Invalid Host header", "Blocked hosts: …", 'This host ("…") is not allowed'. */
const SAYS_SO =
  /(?:invalid|unknown|block|disallow|forbid|unrecogni[sz]ed)[^.<>]{0,60}host|host[^<>]{0,120}(?:not allowed|not permitted|invalid|disallow|forbidden|unknown)/i;

/**
 * @returns the end of a sentence about the answer, and what to do. null: it is not the host, or that is not sure. It is
 * where another host gets a healthy answer, by the status 421, and where the body says so.
 */
export function hostRefusal(facts: HttpFacts, answer: Answered): { found: string; advice: string } | null {
  const { probe, service, otherHost } = facts;
  if (otherHost != null && otherHost.status >= probe.statusMin && otherHost.status <= probe.statusMax)
    return {
      found: `; asked as host ${otherHost.host} it answers ${otherHost.status}`,
      advice: `Set healthHost: ${otherHost.host} for ${service}.`,
    };
  const says = OF_UNKNOWN_HOSTS.has(answer.status) && SAYS_SO.test(answer.body);
  if (answer.status !== MISDIRECTED && !says) return null;
  const host = hostOf(facts);
  return {
    found: `; it was asked as host ${host}${says ? ` and says ${begins(answer.body, probe)}` : ''}`,
    advice:
      probe.host === undefined
        ? `Set healthHost for ${service} to a host that it answers, or let it answer ${host}.`
        : `Correct healthHost of ${service}, or let it answer ${host}.`,
  };
}

/** A sentence, with a space in front, where a list of hosts is one of the reasons that an answer can have. */
export function maybeHost({ probe }: HttpFacts, { status }: Answered): string {
  if (probe.host !== undefined || !OF_UNKNOWN_HOSTS.has(status)) return '';
  return ' If it answers only hosts on a list, set healthHost to one of them.';
}

function hostOf({ probe, host, instance }: HttpFacts): string {
  return probe.host ?? place({ address: host, port: instance.port ?? 0 });
}
