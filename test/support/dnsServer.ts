/**
 * A DNS server of a test's own on 127.0.0.1, UDP and TCP on one port: answers A, AAAA and SRV questions from a table
 * (RFC 1035, RFC 2782), truncates what is too long for UDP, and can fail in the ways that servers fail.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

export type DnsRecord =
  | { readonly type: 'A'; readonly address: string }
  | { readonly type: 'AAAA'; readonly address: string }
  | {
      readonly type: 'SRV';
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
    };

/** How questions of one type are treated. */
export type DnsBehaviour = 'answer' | 'silent' | 'servfail';

const TYPES: ReadonlyMap<number, DnsRecord['type']> = new Map([
  [1, 'A'],
  [28, 'AAAA'],
  [33, 'SRV'],
]);
const MOST_UDP_BYTES = 512;
const NOERROR = 0;
const SERVFAIL = 2;
const NXDOMAIN = 3;

export class DnsServer {
  /** By lower-case name. A name that is not here does not exist. */
  readonly zone = new Map<string, readonly DnsRecord[]>();
  readonly behaviour: Record<DnsRecord['type'], DnsBehaviour> = {
    A: 'answer',
    AAAA: 'answer',
    SRV: 'answer',
  };
  /** Questions so far, as `A shop.test`, in order. */
  readonly questions: string[] = [];
  tcpQuestions = 0;
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(udp: UdpSocket, tcp: Server) {
    this.#udp = udp;
    this.#tcp = tcp;
    udp.on('message', (message, { port, address }) => {
      const answer = this.#answer(message, MOST_UDP_BYTES);
      if (answer !== null) udp.send(answer, port, address);
    });
    tcp.on('connection', (socket) => this.#serve(socket));
  }

  static async start(): Promise<DnsServer> {
    for (;;) {
      const udp = createSocket('udp4');
      udp.bind(0, '127.0.0.1');
      await once(udp, 'listening');
      const tcp = createServer();
      tcp.listen(udp.address().port, '127.0.0.1');
      // The number was free for UDP; for TCP somebody may have it.
      const listens = await once(tcp, 'listening').then(
        () => true,
        () => false,
      );
      if (listens) return new DnsServer(udp, tcp);
      udp.close();
    }
  }

  /** For `Resolver.setServers`. */
  get address(): string {
    return `127.0.0.1:${this.#udp.address().port}`;
  }

  behaveAll(behaviour: DnsBehaviour): void {
    Object.assign(this.behaviour, { A: behaviour, AAAA: behaviour, SRV: behaviour });
  }

  async close(): Promise<void> {
    this.#udp.close();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#tcp.close(resolve));
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined);
    let buffered = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      buffered = Buffer.concat([buffered, chunk]);
      while (buffered.length >= 2 && buffered.length >= 2 + buffered.readUInt16BE(0)) {
        const message = buffered.subarray(2, 2 + buffered.readUInt16BE(0));
        buffered = buffered.subarray(2 + message.length);
        this.tcpQuestions += 1;
        const answer = this.#answer(message, 65_535);
        if (answer !== null) socket.write(Buffer.concat([uint16(answer.length), answer]));
      }
    });
  }

  #answer(message: Buffer, mostBytes: number): Buffer | null {
    const { name, end } = readName(message, 12);
    const type = TYPES.get(message.readUInt16BE(end));
    const question = message.subarray(12, end + 4);
    this.questions.push(`${type} ${name}`);
    const behaviour = type === undefined ? 'answer' : this.behaviour[type];
    if (behaviour === 'silent') return null;
    if (behaviour === 'servfail') return reply(message, question, SERVFAIL, []);
    const known = this.zone.get(name.toLowerCase());
    const records = (known ?? []).filter((record) => record.type === type);
    const whole = reply(message, question, known === undefined ? NXDOMAIN : NOERROR, records);
    return whole.length <= mostBytes ? whole : truncated(message, question);
  }
}

function uint16(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  for (const [index, value] of values.entries()) bytes.writeUInt16BE(value, index * 2);
  return bytes;
}

function readName(message: Buffer, start: number): { name: string; end: number } {
  const labels: string[] = [];
  let at = start;
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.'), end: at + 1 };
}

function writeName(name: string): Buffer {
  const labels = name.split('.').filter(Boolean);
  return Buffer.concat([
    ...labels.map((label) => Buffer.from([label.length, ...Buffer.from(label)])),
    Buffer.from([0]),
  ]);
}

function header(message: Buffer, flags: number, answers: number): Buffer {
  // Its id; response, recursion desired and available; one question.
  return uint16(message.readUInt16BE(0), 0x8180 | flags, 1, answers, 0, 0);
}

function reply(message: Buffer, question: Buffer, code: number, records: readonly DnsRecord[]): Buffer {
  return Buffer.concat([header(message, code, records.length), question, ...records.map(writeRecord)]);
}

function truncated(message: Buffer, question: Buffer): Buffer {
  return Buffer.concat([header(message, 0x0200, 0), question]);
}

function writeRecord(record: DnsRecord): Buffer {
  const [type] = [...TYPES].find(([, name]) => name === record.type) ?? [0];
  const data = writeData(record);
  // The question's name by pointer, class IN, five seconds.
  return Buffer.concat([uint16(0xc00c, type, 1, 0, 5, data.length), data]);
}

function writeData(record: DnsRecord): Buffer {
  switch (record.type) {
    case 'A':
      return Buffer.from(record.address.split('.').map(Number));
    case 'AAAA':
      return uint16(...record.address.split(':').map((group) => Number.parseInt(group, 16)));
    case 'SRV':
      return Buffer.concat([uint16(record.priority, record.weight, record.port), writeName(record.target)]);
  }
}
