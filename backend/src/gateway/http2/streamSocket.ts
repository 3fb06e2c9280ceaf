/**
 * One HTTP/2 stream, as the client connection that it is to the data path: a socket that brings exactly one HTTP/1.1
 * request and takes its answer.
 *
 *   request:  head ──▶ text (requestText.ts) ─┬─▶ DATA with a Content-Length: as it is      ──▶ end
 *                                             └─▶ DATA without: chunked, trailers behind it ──▶ end
 *   answer:   text ──▶ HEADERS, DATA, trailers (answerWriter.ts) ──▶ END_STREAM
 *
 * Flow control is the stream's own, in both directions: what the data path does not read gives the client no more
 * window, and what the client does not read holds up the data path. A client that resets the stream is a client that
 * went away; the data path cutting the connection resets the stream.
 */
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { constants } from 'node:http2';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { ClientSocket } from '../shared/clientSocket.js';
import { CHUNKED } from '../http1/framing.js';
import { AnswerWriter } from './answerWriter.js';
import { isField, type RequestText } from './requestText.js';

const { NGHTTP2_NO_ERROR } = constants;
/** Half of what a TCP connection may hold: one client has a hundred streams. */
const STREAM_HIGH_WATER_BYTES = 65_536;

export class StreamSocket extends Duplex implements ClientSocket {
  readonly carrier: Socket;
  takenBytes = 0;
  readonly #stream: ServerHttp2Stream;
  readonly #answer: AnswerWriter;
  readonly #isChunked: boolean;
  /** Of a body with a Content-Length, bytes to come. */
  #left: number;
  /** The request is here as a whole. */
  #received: boolean;
  #trailers = '';

  /** @param carrier the connection. */
  constructor(stream: ServerHttp2Stream, request: RequestText, isWhole: boolean, carrier: Socket) {
    super({ highWaterMark: STREAM_HIGH_WATER_BYTES, allowHalfOpen: true });
    this.#stream = stream;
    this.carrier = carrier;
    this.#isChunked = request.bodyLength === CHUNKED;
    this.#left = request.webSocket ? Number.POSITIVE_INFINITY : request.bodyLength;
    this.#received = isWhole;
    this.#answer = new AnswerWriter(stream, request.method === 'HEAD', {
      onTunnel: () => this.#listen(),
      onEnded: () => this.#onAnswered(),
    });
    stream.on('close', () => this.destroy());
    this.push(Buffer.from(request.text, 'latin1'));
    if (isWhole) this.push(null);
    // What comes on a WebSocket's stream before it is one would be read as another request.
    else if (!request.webSocket) this.#listen();
  }

  /** As of a TCP socket: the other end sees that it did not end well. */
  resetAndDestroy(): this {
    return this.destroy();
  }

  override _read(): void {
    this.#stream.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.takenBytes += chunk.length; // what came before it is gone
    if (this.#stream.destroyed) done(new Error('the stream is gone'));
    else this.#answer.write(chunk, done);
  }

  override _final(done: () => void): void {
    this.#answer.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // The end of a complete answer may still be on its way to the client: a reset would overtake it. With an error,
    // because without one Node ends the stream properly before it resets it, and half an answer would pass for a whole.
    const isAnswered = this.#answer.done && this.writableFinished;
    if (!isAnswered && !this.#stream.closed) this.#stream.destroy(new Error('the exchange was cut'));
    done(error);
  }

  #listen(): void {
    this.#stream.on('data', (chunk: Buffer) => this.#onData(chunk));
    // Node hands over the fields as they came as well; its types don't know.
    this.#stream.on('trailers', (_joined: IncomingHttpHeaders, _flags: number, fields: string[]) =>
      this.#onTrailers(fields),
    );
    this.#stream.on('end', () => this.#onEnd());
  }

  /** An answer may be complete before its request is: then the rest is not wanted (RFC 9113 section 8.1). */
  #onAnswered(): void {
    if (this.#received) return;
    // When it has left: a stream that is being closed can't be reset any more, whether or not anything leaves.
    const close = (): void => this.#stream.close(NGHTTP2_NO_ERROR);
    if (this.#stream.writableFinished) close();
    else this.#stream.once('finish', close);
  }

  #onData(chunk: Buffer): void {
    if (this.destroyed || chunk.length === 0) return;
    let bytes = chunk;
    if (this.#isChunked) {
      bytes = Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n')]);
    } else {
      this.#left -= chunk.length;
      // What is more than announced must not be read as another request.
      if (this.#left < 0) {
        this.destroy();
        return;
      }
    }
    if (!this.push(bytes)) this.#stream.pause();
  }

  /** @param fields names and values in turns, as received. */
  #onTrailers(fields: readonly string[]): void {
    for (let i = 0; i + 1 < fields.length; i += 2) {
      const name = fields[i] ?? '';
      const value = fields[i + 1] ?? '';
      if (!isField(name, value)) {
        this.destroy();
        return;
      }
      this.#trailers += `${name}: ${value}\r\n`;
    }
  }

  #onEnd(): void {
    if (this.destroyed) return;
    this.#received = true;
    if (this.#isChunked) this.push(Buffer.from(`0\r\n${this.#trailers}\r\n`, 'latin1'));
    this.push(null);
  }
}
