/**
 * Max-Forwards (RFC 9110 section 7.6.2): how many intermediaries an OPTIONS may still pass, which shows who stands on
 * the way to a service. At 0 this gateway answers in the place of whoever is behind it; otherwise the next hop gets one
 * less. It is for TRACE as well, which is refused here whatever it says; with any other method it means nothing.
 */
import { ALLOW_LINE, type OwnAnswer } from '../shared/answer.js';
import type { RequestHead } from '../http1/requestHead.js';

/** More intermediaries than this are a loop. */
const MOST_FORWARDS = 255;
const NUMBER = /^\d{1,10}$/;

/** The gateway's own answer to an OPTIONS that may go no further. */
export const OPTIONS_ANSWER: OwnAnswer = {
  status: 204,
  lines: ALLOW_LINE,
  contentType: '',
  body: '',
};

/** Whether the request ends here. */
export function endsHere({ method, maxForwards }: RequestHead): boolean {
  return method === 'OPTIONS' && maxForwards !== null && /^0{1,10}$/.test(maxForwards);
}

/** The field line for the next hop, with its CRLF; '' when the client sent none. What is no number goes on as it is. */
export function maxForwardsLine({ method, maxForwards }: RequestHead): string {
  if (maxForwards === null) return '';
  if (method !== 'OPTIONS' || !NUMBER.test(maxForwards)) return `Max-Forwards: ${maxForwards}\r\n`;
  return `Max-Forwards: ${Math.min(Number(maxForwards) - 1, MOST_FORWARDS)}\r\n`;
}
