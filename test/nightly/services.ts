/**
 * Services as their own documentation has them: what is written for each, the application for PM2's ecosystem file, what
 * has to be set for Holdfast, and the traffic that it gets. No line of a package is changed.
 */
import { join } from 'node:path';
import { runToEnd } from '../support/checkout.js';
import { GatewayTraffic, type GatewayTrafficOptions } from '../support/gatewayTraffic.js';
import { cleanEnv } from '../support/pm2.js';
import { PublishTraffic, packageText } from './publishTraffic.js';
import { SocketIoTraffic } from './socketIoTraffic.js';
import { YjsTraffic } from './yjsTraffic.js';

/** What a service is asked, again and again, until it is stopped. */
export interface NightlyTraffic {
  readonly sent: number;
  /** What was not answered well, a line each. */
  readonly failed: readonly string[];
  stop(): Promise<void>;
}

export interface NightlyService {
  /** As in packages.json. */
  readonly name: string;
  /** Below its folder, beside the packages. */
  readonly files: Readonly<Record<string, string>>;
  /** The application in the ecosystem file, but for its name and number of instances. `port`: of its first instance. */
  app(port: number): Readonly<Record<string, unknown>>;
  /** What node runs has the agent as well. */
  readonly agent: boolean;
  /** Of config.yml for this service. */
  readonly settings: Readonly<Record<string, string>>;
  /** Of the gateway. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Once, before it is started. */
  prepare?(folder: string): Promise<void>;
  traffic(gatewayPort: number, folder: string): Promise<readonly NightlyTraffic[]>;
  /** What an instance that is killed may take with it: requests that may have been carried out, and are not repeated. */
  readonly lostByKill?: RegExp;
}

const ROUND_ROBIN = { LB_ALGORITHM: 'round-robin' };
const bin = (path: string): string => join('../node_modules', path);
const portFrom = (port: number) => ({ increment_var: 'PORT', env: { PORT: port } });

class HttpTraffic implements NightlyTraffic {
  readonly #traffic: GatewayTraffic;

  private constructor(traffic: GatewayTraffic) {
    this.#traffic = traffic;
  }

  static async start(options: GatewayTrafficOptions): Promise<HttpTraffic> {
    return new HttpTraffic(await GatewayTraffic.start(options));
  }

  get sent(): number {
    return this.#traffic.sent;
  }

  get failed(): readonly string[] {
    return this.#traffic.lost.map(({ what, problem }) => `${what}: ${problem}`);
  }

  async stop(): Promise<void> {
    await this.#traffic.stop();
  }
}

type Requests = NonNullable<GatewayTrafficOptions['requests']>;

/** On a connection each, and on connections that stay: so many clients of either. */
function clients(concurrency: number, ...requests: Requests): NightlyService['traffic'] {
  return (port) =>
    Promise.all([
      HttpTraffic.start({ port, requests, concurrency }),
      HttpTraffic.start({ port, requests, concurrency, keepAlive: true }),
    ]);
}

const http = (...requests: Requests): NightlyService['traffic'] => clients(4, ...requests);
const get = (path: string) => ({ method: 'GET', path });
const post = (path: string, body: unknown) => ({ method: 'POST', path, body: JSON.stringify(body) });

const page = '<!doctype html><title>a page</title><p>a page</p>\n';
const statics = { 'public/index.html': page, 'public/large.txt': 'a line of text\n'.repeat(70_000) };

const nestApplication = `
import 'reflect-metadata';
import { Body, Controller, Get, Module, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

// What the TypeScript compiler makes of decorators.
class AppController {
  getHello() { return 'Hello World!'; }
  create(cat) { return cat; }
}
const method = (name) => [AppController.prototype, name, Object.getOwnPropertyDescriptor(AppController.prototype, name)];
Get()(...method('getHello'));
Post('cats')(...method('create'));
Body()(AppController.prototype, 'create', 0);
Controller()(AppController);
class AppModule {}
Module({ controllers: [AppController] })(AppModule);

const app = await NestFactory.create(AppModule);
await app.listen(process.env.PORT ?? 3000);
`;

const fastifyApplication = `
const fastify = require('fastify')({ logger: true });
fastify.get('/', async () => ({ hello: 'world' }));
fastify.post('/', async (request) => request.body);
fastify.listen({ port: Number(process.env.PORT) }, (err) => {
  if (err) { fastify.log.error(err); process.exit(1); }
});
`;

const socketIoServer = `
const { Server } = require('socket.io');
const io = new Server(Number(process.env.PORT));
io.on('connection', (socket) => {
  socket.on('message', (text, answer) => answer(text));
});
`;

const verdaccioConfig = `
storage: ./storage
auth:
  htpasswd:
    file: ./htpasswd
packages:
  '**':
    access: $all
    publish: $all
log: { type: stdout, format: pretty, level: warn }
`;

async function nextBuild(folder: string): Promise<void> {
  const next = join(folder, bin('next/dist/bin/next'));
  const env = cleanEnv({ NEXT_TELEMETRY_DISABLED: '1' });
  const { code, stdout, stderr } = await runToEnd(process.execPath, [next, 'build'], env, folder, 300_000);
  if (code !== 0) throw new Error(`next build failed:\n${stdout}${stderr}`);
}

export const services: readonly NightlyService[] = [
  {
    name: 'http-server',
    files: statics,
    app: (port) => ({ script: bin('http-server/bin/http-server'), args: './public', ...portFrom(port) }),
    agent: true,
    settings: { healthPath: '/' },
    environment: ROUND_ROBIN,
    traffic: http(get('/'), get('/large.txt')),
  },
  {
    name: 'serve',
    files: statics,
    app: (port) => ({ script: bin('serve/build/main.js'), args: 'public', ...portFrom(port) }),
    agent: true,
    settings: { healthPath: '/' },
    environment: ROUND_ROBIN,
    traffic: http(get('/'), get('/large.txt')),
  },
  {
    name: 'json-server',
    // Data out of a script lives in each instance's memory. With a file, json-server itself ends when two instances write it.
    files: { 'db.js': "module.exports = () => ({ posts: [{ id: 1, title: 'a title' }], comments: [] });\n" },
    // It takes its port as an argument only.
    app: (port) => ({
      script: `${bin('json-server/lib/cli/bin.js')} --port $PORT db.js`,
      ...portFrom(port),
    }),
    agent: false,
    settings: { healthPath: '/' },
    environment: ROUND_ROBIN,
    traffic: http(get('/posts'), get('/posts/1'), post('/comments', { body: 'a comment' })),
    lostByKill: /^POST /,
  },
  {
    name: 'fastify',
    files: { 'server.js': fastifyApplication },
    app: (port) => ({ script: 'server.js', exec_mode: 'cluster', ...portFrom(port) }),
    agent: true,
    settings: { healthPath: '/' },
    environment: ROUND_ROBIN,
    traffic: http(get('/'), post('/', { hello: 'you' })),
    lostByKill: /^POST /,
  },
  {
    name: 'nest',
    files: { 'package.json': '{ "type": "module" }', 'dist/main.js': nestApplication },
    app: (port) => ({ script: 'dist/main.js', exec_mode: 'cluster', ...portFrom(port) }),
    agent: true,
    settings: { healthPath: '/' },
    environment: ROUND_ROBIN,
    traffic: http(get('/'), post('/cats', { name: 'a cat' })),
    lostByKill: /^POST /,
  },
  {
    name: 'next',
    files: {
      'app/layout.js':
        'export default function Layout({ children }) { return <html><body>{children}</body></html>; }\n',
      'app/page.js':
        "export const dynamic = 'force-dynamic';\nexport default function Page() { return <p>{Date.now()}</p>; }\n",
      'app/api/echo/route.js':
        'export async function POST(request) { return Response.json(await request.json()); }\n',
    },
    app: (port) => ({
      script: bin('next/dist/bin/next'),
      args: 'start',
      exec_mode: 'cluster',
      ...portFrom(port),
    }),
    agent: true,
    settings: { healthPath: '/' },
    environment: ROUND_ROBIN,
    prepare: nextBuild,
    // A page takes tens of milliseconds of CPU: more clients would only wait for it.
    traffic: clients(1, get('/'), post('/api/echo', { hello: 'you' })),
    lostByKill: /^POST /,
  },
  {
    name: 'verdaccio',
    files: { 'config.yaml': verdaccioConfig },
    // It takes its port as an argument only.
    app: (port) => ({
      script: `${bin('verdaccio/bin/verdaccio')} --config ./config.yaml --listen $PORT`,
      ...portFrom(port),
    }),
    agent: false,
    settings: { healthPath: '/-/ping' },
    environment: ROUND_ROBIN,
    traffic: async (port) => {
      const publish = await PublishTraffic.start(port);
      const { name, tarball } = packageText(0);
      return [publish, ...(await http(get(`/${name}`), get(tarball), get('/-/ping'))(port, ''))];
    },
    lostByKill: /^PUT /,
  },
  {
    name: 'socket.io',
    files: { 'server.js': socketIoServer },
    app: (port) => ({ script: 'server.js', exec_mode: 'cluster', ...portFrom(port) }),
    agent: true,
    settings: { healthPath: '/socket.io/socket.io.js' },
    traffic: (port, folder) =>
      Promise.all(
        [['polling'], ['websocket'], ['polling', 'websocket']].map((transports) =>
          SocketIoTraffic.start(port, folder, transports),
        ),
      ),
  },
  {
    name: 'y-websocket',
    files: {},
    // Its default is localhost, which is ::1 on many machines.
    app: (port) => ({
      script: bin('y-websocket/bin/server.cjs'),
      increment_var: 'PORT',
      env: { HOST: '::1', PORT: port },
    }),
    agent: true,
    settings: {},
    traffic: async (port, folder) => [await YjsTraffic.start(port, folder)],
  },
];
