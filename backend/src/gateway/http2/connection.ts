/**
 * One client's HTTP/2 connection (RFC 9113): its streams become client connections of the data path
 * (streamSocket.ts), and what an HTTP/2 connection can be abused for is kept in bounds here.
 *
 *   open ──idle, or told to leave──▶ leaving: GOAWAY ──last stream──▶ closed
 *
 * A request that crosses our GOAWAY is not answered: the last stream that it names is below, which tells the client
 * that nothing was done and that any method may be sent again elsewhere (section 6.8). Announcing the GOAWAY one round
 * trip ahead would spare clients that, but Node's binding stops taking streams with the first one it sends.
 *
 * What costs us but hardly the client (streams that it resets at once, CVE-2023-44487; pings; settings; malformed
 * requests) is charged to an allowance that refills slowly. Whoever spends it is cut off with ENHANCE_YOUR_CALM.
 * Floods of frames that never get here (CONTINUATION, empty DATA, more streams than agreed) Node and nghttp2 bound.
 */
import { randomBytes } from 'node:crypto';
import { constants, performServerHandshake } from 'node:http2';
import type {
  IncomingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
  ServerSessionOptions,
} from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { prefersPage } from '../shared/accept.js';
import { problemAnswer } from '../shared/answer.js';
import type { ClientSocket } from '../shared/clientSocket.js';
import type { GatewayContext } from '../shared/context.js';
import type { Timed } from '../shared/deadlines.js';
import type { Peer } from '../shared/forwarded.js';
import type { Refusal } from '../http1/refusal.js';
import { unreadRecord } from '../shared/requestRecord.js';
import { Allowance } from './allowance.js';
import { queuedBytes, Standstill } from '../shared/standstill.js';
import { headersOf } from './answerWriter.js';
import { requestText } from './requestText.js';
import { StreamSocket } from './streamSocket.js';

export interface Http2Owner {
  /** A request, as a client connection of its own. */
  onStream(socket: ClientSocket, peer: Peer): void;
  onHttp2Closed(connection: Http2Connection): void;
}

const NUISANCES = { burst: 200, perSecond: 20 };
const FIELD_OVERHEAD_BYTES = 32;
/** Of a cookie that comes in crumbs (RFC 9113 section 8.2.3): `a=` and the `; ` that joins it. */
const LEAST_CRUMB_BYTES = 4;
/** What name and overhead of a crumb count in the size of a list. */
const CRUMB_COST_BYTES = FIELD_OVERHEAD_BYTES + 'cookie'.length;
const CONNECTION_WINDOW_BYTES = 1_048_576;
/** How long a client may take to close a connection on which nothing is left. */
const FAREWELL_MS = 1_000;
const { NGHTTP2_NO_ERROR, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_FLAG_END_STREAM } = constants;

export class Http2Connection implements Timed {
  readonly peer: Peer;
  deadlineMs: number;
  readonly #context: GatewayContext;
  readonly #owner: Http2Owner;
  readonly #session: ServerHttp2Session;
  readonly #socket: TLSSocket;
  readonly #allowance = new Allowance(NUISANCES);
  #standstill: Standstill | null = null;
  /** Under way, served or not. */
  streams = 0;
  #leaveAtMs = Number.POSITIVE_INFINITY;
  #state: 'open' | 'leaving' | 'closed' = 'open';

  constructor(socket: TLSSocket, peer: Peer, context: GatewayContext, owner: Http2Owner) {
    this.peer = peer;
    this.#context = context;
    this.#owner = owner;
    this.#socket = socket;
    const { maxHeadBytes, maxFields, maxStreamsPerConnection, headTimeoutMs } = context.limits;
    this.deadlineMs = context.deadlines.nowMs + headTimeoutMs;
    // A cookie counts as the one line that it becomes, so as many crumbs are taken as a head has room for. What is a
    // little too much gets to the parser, which says so in an answer; the rest is reset.
    const maxCrumbs = Math.ceil(maxHeadBytes / LEAST_CRUMB_BYTES);
    const options: ServerSessionOptions & { readonly strictSingleValueFields: boolean } = {
      maxHeaderListPairs: maxFields + 32 + maxCrumbs,
      maxSessionInvalidFrames: 100,
      settings: {
        maxConcurrentStreams: maxStreamsPerConnection,
        maxHeaderListSize: 2 * maxHeadBytes + FIELD_OVERHEAD_BYTES * maxFields + CRUMB_COST_BYTES * maxCrumbs,
        enableConnectProtocol: true,
      },
      // Lines go on as they came. Node 20 and 22 do not know it, and the types don't yet (see answerWriter.ts).
      strictSingleValueFields: false,
    };
    this.#session = performServerHandshake(socket, options);
    this.#session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
    // Node hands over the fields as they came as well; its types don't know.
    this.#session.on(
      'stream',
      (stream: ServerHttp2Stream, _headers: IncomingHttpHeaders, flags: number, fields: string[]) =>
        this.#onStream(stream, flags, fields),
    );
    this.#session.on('ping', () => this.#charge());
    this.#session.on('remoteSettings', () => this.#charge());
    this.#session.on('error', () => {
      // 'close' follows, and that is all there is to know.
    });
    this.#session.on('close', () => this.#onClose());
    // There is no half-open connection in HTTP/2, but our sockets allow it for HTTP/1.1.
    socket.once('end', () => this.#session.destroy());
    context.deadlines.add(this);
  }

  /** Takes no new requests at that time (monotonic, ms) at the latest; those under way are finished. */
  leaveBy(atMs: number): void {
    if (this.#state === 'open') this.deadlineMs = Math.min(this.deadlineMs, atMs);
    this.#leaveAtMs = Math.min(this.#leaveAtMs, atMs);
  }

  /** Ends it at once, with its streams. */
  destroy(): void {
    this.#session.destroy();
  }

  onDeadline(): void {
    if (this.#state === 'open') {
      this.#state = 'leaving';
      this.#session.close();
    } else if (this.streams === 0 && !this.#isTaking()) {
      this.#socket.destroy(); // a client that does not go by itself is not waited for
    }
    this.deadlineMs = this.#context.deadlines.nowMs + FAREWELL_MS;
  }

  /** Whether a part of its last answers has not left yet, and the client takes it, however slowly. */
  #isTaking(): boolean {
    if (queuedBytes(this.#socket) === 0) return false;
    const { deadlines, limits } = this.#context;
    this.#standstill ??= new Standstill(this.#socket, deadlines);
    return this.#standstill.lookOrBegin(limits.bodyTimeoutMs) !== null;
  }

  #onStream(stream: ServerHttp2Stream, flags: number, fields: readonly string[]): void {
    stream.on('error', () => {
      // 'close' follows.
    });
    if (stream.closed || stream.destroyed) {
      this.#charge();
      return;
    }
    this.#begin(stream);
    const isWhole = (flags & NGHTTP2_FLAG_END_STREAM) !== 0;
    const { maxFields } = this.#context.limits;
    const request = requestText(fields, isWhole, maxFields, () => randomBytes(16).toString('base64'));
    if ('status' in request) {
      this.#charge();
      this.#refuse(stream, request, fields, isWhole);
      return;
    }
    this.#owner.onStream(new StreamSocket(stream, request, isWhole, this.#socket), this.peer);
  }

  #begin(stream: ServerHttp2Stream): void {
    this.streams += 1;
    if (this.#state === 'open') this.deadlineMs = this.#leaveAtMs;
    stream.once('close', () => {
      this.streams -= 1;
      if (this.streams === 0 && this.#state === 'open') {
        const idleAtMs = this.#context.deadlines.nowMs + this.#context.limits.idleTimeoutMs;
        this.deadlineMs = Math.min(idleAtMs, this.#leaveAtMs);
      }
    });
    // A reset while we had not ended it: the client's, unless it was us who destroyed the stream.
    stream.once('aborted', () => {
      if (!stream.destroyed) this.#charge();
    });
  }

  /** Answers what is no acceptable request. */
  #refuse(stream: ServerHttp2Stream, refusal: Refusal, fields: readonly string[], isWhole: boolean): void {
    const { status, code } = refusal;
    this.#context.refusals.count(code);
    this.#context.answers.count(status);
    this.#context.onRequestEnd?.(unreadRecord(this.peer, refusal));
    const answer = problemAnswer(refusal, '', prefersPage(valueIn(fields, 'accept')));
    stream.respond({
      ...headersOf(answer.lines),
      ':status': status,
      'content-type': answer.contentType,
      'content-length': Buffer.byteLength(answer.body),
    });
    stream.end(valueIn(fields, ':method') === 'HEAD' ? '' : answer.body);
    if (!isWhole) stream.close(NGHTTP2_NO_ERROR);
  }

  #charge(): void {
    if (this.#state === 'closed' || this.#allowance.spend(this.#context.deadlines.nowMs)) return;
    this.#state = 'closed';
    this.#context.refusals.count('http2.flood');
    this.#session.destroy(undefined, NGHTTP2_ENHANCE_YOUR_CALM);
  }

  #onClose(): void {
    this.#state = 'closed';
    this.#context.deadlines.delete(this);
    this.#owner.onHttp2Closed(this);
  }
}

/** The value of a field; several are joined. @param fields names and values in turns, as received. */
function valueIn(fields: readonly string[], name: string): string | null {
  const values = fields.filter((_value, index) => index % 2 === 1 && fields[index - 1] === name);
  return values.length === 0 ? null : values.join(',');
}
