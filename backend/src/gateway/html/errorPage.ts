/**
 * What a person in front of a browser sees where a client program gets JSON: what happened, what to do, and the code and
 * the request's id for a report. It says no more than the JSON does: no version, and what is inside only to a client that may see it.
 */
import { loadPageKind, renderDocument } from './document.js';
import { html, type Html } from './html.js';

export interface PersonsProblem {
  readonly status: number;
  /** Stable, for machines. */
  readonly code: string;
  /** What happened, a sentence. */
  readonly message: string;
  /** Why, where the client may see the gateway's inside. */
  readonly reason?: string | undefined;
  /** '' where no request was read. */
  readonly requestId: string;
}

interface Words {
  readonly headline: string;
  readonly advice: string;
}

const errorPage = loadPageKind('error', 'Error', null);

/** What an answer with the page needs beside its type; with its CRLF. */
export const ERROR_PAGE_LINES = `Content-Security-Policy: ${errorPage.assets.policy}\r\nReferrer-Policy: no-referrer\r\n`;

const AGAIN = 'Nothing is wrong with your connection. Reload the page in a moment.';
const SENT = 'If you were sending something, check whether it arrived before you send it again.';

/** By status. Statuses that are not here read as the first of their class. */
const WORDS: Readonly<Record<number, Words>> = {
  400: {
    headline: 'This request could not be read',
    advice: 'Reload the page. If that does not help, clear the cookies of this site and check the address.',
  },
  401: {
    headline: 'This page needs a token',
    advice: 'Reload it, and give the token as the password, with any user name.',
  },
  403: {
    headline: 'This page is not open to you',
    advice: 'Ask the people who run this service for access.',
  },
  404: {
    headline: 'There is nothing at this address',
    advice: 'Check the address. If a link led here, it is out of date.',
  },
  405: {
    headline: 'That can’t be done at this address',
    advice: 'Go back to the page before, and try another way.',
  },
  408: {
    headline: 'The request took too long to arrive',
    advice: 'Check your connection and try again.',
  },
  413: {
    headline: 'What was sent is too large',
    advice: 'Go back and send less, or a smaller file.',
  },
  429: {
    headline: 'Too many requests',
    advice: 'Wait some seconds, then reload the page.',
  },
  431: {
    headline: 'Your browser sent too much along',
    advice: 'Clear the cookies of this site, then reload the page.',
  },
  500: {
    headline: 'Something went wrong here',
    advice: 'Try again in a moment. If it stays, tell the people who run this service.',
  },
  502: { headline: 'The service gave no answer', advice: `${AGAIN} ${SENT}` },
  503: { headline: 'Not available right now', advice: AGAIN },
  504: { headline: 'The service took too long', advice: `${AGAIN} ${SENT}` },
  508: {
    headline: 'This request went round in a circle',
    advice: 'Tell the people who run this service: only they can mend it.',
  },
};

/** Where the gateway's own page says why. */
const SHOWN_ON_LIVE_PAGE = /^(?:upstream|queue|route)\./;

export function wordsOf(status: number): Words {
  return WORDS[status] ?? WORDS[status < 500 ? 400 : 500] ?? { headline: 'Error', advice: '' };
}

export function renderErrorPage({ status, code, message, reason, requestId }: PersonsProblem): string {
  const { headline, advice } = wordsOf(status);
  return renderDocument(
    errorPage,
    html`<main id="view">
      <p class="status" aria-hidden="true">${status}</p>
      <h1>${headline}</h1>
      <p>${message}</p>
      <p>${advice}</p>
      ${reason === undefined ? null : html`<p class="reason">${reason}</p>`}
      ${SHOWN_ON_LIVE_PAGE.test(code) ? OPERATORS : null}
      <dl class="muted">
        ${fact('Status', String(status))} ${fact('Code', code)}
        ${requestId === '' ? null : fact('Request', requestId)}
      </dl>
    </main>`,
    `${status} ${headline}`,
  );
}

const OPERATORS = html`<p class="muted">
  If you run this service: <a href="/lb">/lb</a> shows every route and upstream, and why one takes no traffic.
</p>`;

function fact(name: string, value: string): Html {
  return html`<div>
    <dt>${name}</dt>
    <dd><code>${value}</code></dd>
  </div> `;
}
