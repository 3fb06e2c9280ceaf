/**
 * The floor: what Node's own sockets cost a proxy, with nothing else. It reads a request up to the end of a head that it
 * does not parse, passes the bytes to a kept connection to the origin, and passes back what comes. No rules, no time-outs,
 * no counters, no fields of its own; one file, one process. What the gateway costs beyond it is the gateway's own share.
 *
 * Where Node leaves a choice it takes what the gateway takes, since that is the cheaper one: shared read buffers, copied
 * writes, several listening sockets. A client has a connection to the origin for as long as it stays, so the loop need not know where an answer ends. For
 * a connection per request something must: there the answer is one read, which the small one is.
 *
 * Arguments: port, and the origin as host:port.
 */
import { connect, createServer, type Socket } from 'node:net';
import { writeCopied } from '../../backend/src/gateway/exchange/copiedWrites.js';
import { canReusePort } from '../../backend/src/gateway/primary/clusterWorkers.js';
import {
  acceptWithSharedReads,
  giveReads,
  LISTENING_SOCKETS,
} from '../../backend/src/gateway/client/sharedReads.js';

const HEAD_END = '\r\n\r\n';
const CLOSE_LINE = 'Connection: close\r\n';
/** As the gateway's: more than one read brings. */
const HIGH_WATER_BYTES = 131_072;

const [port, origin = ''] = process.argv.slice(2);
const [originHost, originPort] = origin.split(':');

interface Upstream {
  readonly socket: Socket;
  /** Whose answer comes next; null: it is idle. */
  client: Client | null;
}

interface Client {
  readonly socket: Socket;
  upstream: Upstream | null;
  /** The begin of a head whose end has not come. */
  head: string;
  /** Behind a head: what comes belongs to its request, until the answer begins. */
  isInBody: boolean;
  closes: boolean;
}

const idle: Upstream[] = [];
const buffer = Buffer.allocUnsafeSlow(65_536);

function openUpstream(client: Client): Upstream {
  const socket = connect({
    host: originHost ?? '127.0.0.1',
    port: Number(originPort),
    noDelay: true,
    // Passed on to its streams; the types of node:net don't know.
    ...{ highWaterMark: HIGH_WATER_BYTES },
    onread: {
      buffer,
      callback: (bytes) => {
        onAnswer(upstream, buffer.subarray(0, bytes));
        return true;
      },
    },
  });
  const upstream: Upstream = { socket, client };
  socket.on('drain', () => upstream.client?.socket.resume());
  socket.on('error', () => socket.destroy());
  socket.on('close', () => {
    const at = idle.indexOf(upstream);
    if (at !== -1) idle.splice(at, 1);
    upstream.client?.socket.destroy();
  });
  return upstream;
}

function onAnswer(upstream: Upstream, bytes: Buffer): void {
  const { client } = upstream;
  if (client === null) return;
  client.isInBody = false;
  if (client.closes) {
    client.upstream = upstream.client = null;
    idle.push(upstream);
    client.socket.end(bytes.toString('latin1').replace('\r\n', `\r\n${CLOSE_LINE}`), 'latin1');
  } else if (!writeCopied(client.socket, bytes)) upstream.socket.pause();
}

function onRequest(client: Client, bytes: Buffer): void {
  if (client.isInBody) {
    pass(client, bytes);
    return;
  }
  const text = client.head + bytes.toString('latin1');
  if (!text.includes(HEAD_END)) {
    client.head = text;
    return;
  }
  client.head = '';
  client.isInBody = true;
  client.closes = text.includes(CLOSE_LINE);
  client.upstream ??= idle.pop() ?? openUpstream(client);
  client.upstream.client = client;
  client.upstream.socket.write(client.closes ? text.replace(CLOSE_LINE, '') : text, 'latin1');
}

function pass({ socket, upstream }: Client, bytes: Buffer): void {
  if (upstream !== null && !writeCopied(upstream.socket, bytes)) socket.pause();
}

function onClosed({ upstream, isInBody }: Client): void {
  if (upstream === null) return;
  upstream.client = null;
  if (isInBody) upstream.socket.destroy();
  else idle.push(upstream);
}

function accept(socket: Socket): void {
  const client: Client = { socket, upstream: null, head: '', isInBody: false, closes: false };
  giveReads(socket, (bytes) => onRequest(client, bytes));
  socket.on('drain', () => client.upstream?.socket.resume());
  socket.on('end', () => socket.end());
  socket.on('error', () => socket.destroy());
  socket.on('close', () => onClosed(client));
}

const reusePort = canReusePort(process.versions.node, process.platform);
for (let sockets = 0; sockets < (reusePort ? LISTENING_SOCKETS : 1); sockets += 1) {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, accept);
  const options = {
    port: Number(port),
    host: '127.0.0.1',
    backlog: 4_096,
    ...(reusePort ? { reusePort } : {}),
  };
  server.listen(options, () => acceptWithSharedReads(server));
}
