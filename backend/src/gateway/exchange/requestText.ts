/** The head of a request as upstreams get it. */
import type { Peer } from '../shared/forwarded.js';
import { CHUNKED } from '../http1/framing.js';
import type { RequestHead } from '../http1/requestHead.js';
import { maxForwardsLine } from './maxForwards.js';
import { idLines } from './requestIds.js';

/**
 * Latin1 text, with the empty line behind it. Host and framing are written anew, in one spelling; everything for the
 * client's own hop is gone (RFC 9110 section 7.6.1), and what belongs to the next hop is put in.
 */
export function requestHeadText(head: RequestHead, peer: Peer, requestId: string, viaName: string): string {
  let framing = '';
  if (head.bodyLength === CHUNKED) framing = 'Transfer-Encoding: chunked\r\n';
  else if (head.hasContentLength) framing = `Content-Length: ${head.bodyLength}\r\n`;
  const expect = head.expectsContinue && head.bodyLength !== 0 ? 'Expect: 100-continue\r\n' : '';
  return (
    `${head.method} ${head.target} HTTP/1.1\r\nHost: ${head.host}\r\n${head.lines}${framing}${expect}` +
    `${hopLines(head)}${peer.forwardedLines(head, head.host)}${idLines(head, requestId)}` +
    `Via: ${peer.versionOf(head)} ${viaName}\r\n\r\n`
  );
}

function hopLines(head: RequestHead): string {
  const forwards = maxForwardsLine(head);
  if (head.webSocket) return `${forwards}Connection: upgrade\r\nUpgrade: websocket\r\n`;
  return head.acceptsTrailers ? `${forwards}Connection: TE\r\nTE: trailers\r\n` : forwards;
}
