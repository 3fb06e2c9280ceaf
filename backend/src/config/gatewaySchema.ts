/**
 * Every setting of the gateway, once. Its active checks are those of "Every service: health": one rule for both.
 * How the setting's kinds, names and sources work: schema.ts.
 */
import { fallback } from './fallbackKind.js';
import {
  addressRanges,
  algorithmName,
  cookieName,
  dnsServers,
  hashKey,
  keyList,
  memberList,
  routeList,
} from './gatewayKinds.js';
import {
  bytes,
  choice,
  count,
  countOrAuto,
  durationMs,
  fraction,
  httpUrl,
  matching,
  onOff,
  path,
  percent,
  port,
} from './kinds.js';
import {
  AT_START,
  optional,
  SECRET_AT_START,
  setting,
  type Registry,
  type SettingGroup,
  type Values,
} from './setting.js';

const SECOND_MS = 1_000;
const HOUR_MS = 3_600 * SECOND_MS;
const DAY_MS = 24 * HOUR_MS;
const KIBIBYTE = 1024;
const MEBIBYTE = 1024 ** 2;
const GIBIBYTE = 1024 ** 3;

const hostName = matching(/^[A-Za-z0-9.:_-]+$/, 'a host name or an IP address');
const name = matching(/^[A-Za-z0-9._~-]{1,128}$/, 'letters, digits and . _ ~ -');
const headerText = matching(/^[\x21-\x7e]+$/, 'printable ASCII without spaces');

const LISTENING = {
  balancerHost: setting(hostName, '0.0.0.0', 'Address that the gateway listens on.', AT_START),
  balancerPort: setting(port(), 13_003, 'Port that the gateway listens on.', AT_START),
  gatewayWorkers: setting(
    countOrAuto(1, 256),
    'auto',
    'Processes that forward; auto is the number of cores that this machine or container may use.',
    AT_START,
  ),
  trustedProxies: optional(
    addressRanges(),
    'Proxies in front whose X-Forwarded-… fields are believed. Unset: none is.',
  ),
  proxyProtocolFrom: optional(
    addressRanges(),
    'Balancers in front that begin every connection with a PROXY protocol header (version 1 or 2); its address is the client. Connections of others are never looked at for one.',
  ),
  lbTokenOnLoopback: setting(
    onOff(),
    false,
    'Ask clients on this machine for haApiToken, too, before they see /lb and /metrics: for a proxy on this machine that adds no forwarding fields, so that its clients look like local ones.',
  ),
  gatewayStopTimeout: setting(
    durationMs(0, HOUR_MS),
    30_000,
    'How long requests under way may take when the gateway stops; WebSockets are closed within 10 s. Set it in .env: PM2 kills 5 s later, and is told by .env alone.',
  ),
  accessLog: setting(choice(['off', 'json', 'combined']), 'off', 'Whether and how requests are logged.'),
  accessLogSample: setting(fraction(), 1, 'Share of requests that are logged.'),
} as const satisfies Registry;

const TLS = {
  tlsPort: optional(port(), 'Port for TLS: HTTP/1.1 and HTTP/2 over it. Unset: no TLS.', AT_START),
  tlsCert: optional(
    path(),
    'Certificate and its chain (PEM), for clients that ask for none of the names in tlsCertDir. Files are read again when they change; connections stay.',
    AT_START,
  ),
  tlsKey: optional(path(), 'Private key of tlsCert (PEM, without a passphrase).', AT_START),
  tlsCertDir: optional(
    path(),
    'Directory of <name>.crt with <name>.key: each is used for the names it contains (SNI), wildcards included.',
    AT_START,
  ),
  tlsMinVersion: setting(choice(['TLSv1.2', 'TLSv1.3']), 'TLSv1.2', 'The oldest version accepted.', AT_START),
  tlsHttp2: setting(onOff(), true, 'Offer HTTP/2 on tlsPort.'),
  tlsRedirectPort: optional(
    port(),
    'Send plain requests to https on this port (308), usually 443; the pages of the gateway itself stay. Unset: they are served.',
  ),
} as const satisfies Registry;

const SOURCES = {
  backendHosts: optional(
    memberList(),
    'Upstreams, written out: host:port[;weight=N]. Only one source may be set; none: the instances that the supervisor announces, and for a gateway that PM2 did not start, until a supervisor has answered, the ports on which `npm run cluster` starts instances.',
    AT_START,
  ),
  backendStartPort: setting(
    port(),
    13_004,
    'First port of a range of upstreams on this machine. Setting it, or backendCount, chooses that range as the source.',
    AT_START,
  ),
  backendCount: setting(count(1, 4_096), 5, 'Number of ports in the range from backendStartPort.', AT_START),
  backendDns: optional(
    matching(/^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9.])?$/, 'a DNS name'),
    'Name whose addresses are upstreams. One that begins with _ (_http._tcp.shop.example) is looked up as SRV and brings its own ports.',
    AT_START,
  ),
  backendPort: setting(port(), 13_004, 'Port of the upstreams that backendDns finds by address.', AT_START),
  backendDnsInterval: setting(
    durationMs(100, DAY_MS),
    60_000,
    'How often backendDns is looked up.',
    AT_START,
  ),
  backendDnsServers: optional(
    dnsServers(),
    "DNS servers to ask, with or without a port. Unset: the system's.",
    AT_START,
  ),
  consulService: optional(
    name,
    'Service in Consul whose passing instances are upstreams. Their weights are `Weights.Passing` of the registration, or `Meta.weight` where that is 1.',
    AT_START,
  ),
  consulUrl: setting(httpUrl(), 'http://127.0.0.1:8500', 'Where Consul answers.', AT_START),
  consulDatacenter: optional(name, "Consul's datacenter. Unset: that of the agent asked.", AT_START),
  consulTag: optional(name, 'Only instances with this tag.', AT_START),
  consulToken: optional(headerText, 'Token for Consul (X-Consul-Token).', SECRET_AT_START),
  lbConfigFile: optional(
    path(),
    'A JSON file {algorithm, healthCheck, servers}, such as load-balancer-config.json; watched.',
    AT_START,
  ),
} as const satisfies Registry;

const CHOOSING = {
  lbAlgorithm: setting(
    algorithmName(),
    'ip-hash',
    'How an upstream is chosen. ip-hash and consistent-hash keep a client or a key on one; the latter with a bound on its load.',
  ),
  lbHashOn: setting(hashKey(), 'ip', 'What consistent-hash is made of.'),
  lbRoutes: optional(
    routeList(),
    'Which service serves which host and path, when PM2 is the source: the most specific host, then the longest path. Unset: lbDefaultRoutes.',
  ),
  lbDefaultRoutes: optional(
    routeList(),
    'Routes that a deployment brings along: the ecosystem files set it for their own services. Unset: one service (defaultService) serves all.',
  ),
  lbSlowStart: setting(
    durationMs(0, HOUR_MS),
    10_000,
    'Time in which an upstream that came up gets its full share of traffic; 0: at once.',
  ),
  lbStickyCookie: optional(
    cookieName(),
    'Name of a signed cookie that keeps a client on its upstream, such as JSESSIONID or HASESSION. Unset: no cookie.',
  ),
  lbStickyKeys: optional(
    keyList(),
    'Keys of that cookie: the first signs, all are valid. Unset: sessionSecret is the key, or else the one made once in `session-secret` in haDataDir.',
    { secret: true },
  ),
  lbStickyLifetime: setting(
    durationMs(SECOND_MS, 365 * DAY_MS),
    1_800_000,
    'A cookie that was not used for so long is void.',
  ),
} as const satisfies Registry;

const FAILURES = {
  lbRetryShare: setting(percent(), 20, 'Retries there may be, in % of the requests.'),
  lbRetryMin: setting(count(0, 10_000), 3, 'Retries there may always be, in 10 seconds.'),
  lbRetryUnsafe: setting(
    onOff(),
    false,
    'Retry POST and PATCH like other methods. Off: only with an Idempotency-Key, or when nothing was sent.',
  ),
  lbMaxAttempts: setting(count(1, 10), 4, 'Attempts at one request, the first included.'),
  lbEjectAfter: setting(count(1, 1_000), 5, 'Failed requests in a row until an upstream is ejected.'),
  lbEjectTime: setting(
    durationMs(100, DAY_MS),
    30_000,
    'How long, the first time; each further time is twice as long.',
  ),
  lbEjectMaxTime: setting(durationMs(100, DAY_MS), 300_000, 'Never longer than this.'),
  lbMinHealthyShare: setting(
    percent(),
    50,
    'Share of a pool that traffic never ejects. A pool in which no upstream is healthy gets traffic all the same.',
  ),
  lbFallback: optional(
    fallback(),
    'What answers when no upstream of a pool can be reached: a page (page:sorry.html, sent with 503), a redirect (redirect:https://status.example.org), or another pool (pool:my-service, pool:10.0.0.9:8080). A path is meant from the project root. Unset: 502 or 503.',
    AT_START,
  ),
} as const satisfies Registry;

const LIMITS = {
  lbMaxHead: setting(
    bytes(KIBIBYTE, MEBIBYTE),
    16 * KIBIBYTE,
    "Size of a request's head; above: 431, as with more than 100 header lines; a target above 8 KiB: 414.",
  ),
  lbMaxBody: setting(bytes(0, 1024 * GIBIBYTE), GIBIBYTE, "Size of a request's body; above: 413."),
  lbMaxConnections: setting(count(1, 1_000_000), 10_000, 'Client connections of one worker.'),
  lbMaxStreams: setting(
    count(1, 1_000),
    100,
    'Requests at a time on one HTTP/2 connection; each also counts as a connection.',
  ),
  lbMaxConnectionsPerIp: setting(
    count(1, 1_000_000),
    1_000,
    'Client connections from one address; trusted proxies are not counted.',
  ),
  lbMaxRequestsPerIp: setting(
    count(0, 1_000_000),
    0,
    'Requests per second from one address to one worker, bursts of twice as many; above: 429. 0: no limit.',
  ),
  lbIpv6Prefix: setting(
    count(1, 128),
    64,
    'Bits of an IPv6 address that make one client of these two limits: a customer gets a whole network.',
  ),
  lbMaxInFlight: setting(count(1, 1_000_000), 1_024, 'Requests under way at one upstream from one worker.'),
  lbMaxQueued: setting(
    count(0, 1_000_000),
    1_024,
    'Requests of one pool that wait for room in one worker; above: 503.',
  ),
  lbQueueTimeout: setting(durationMs(1, HOUR_MS), 5_000, 'How long they wait; then 503.'),
  lbHeadTimeout: setting(durationMs(100, HOUR_MS), 10_000, 'How long a head may take to arrive; then 408.'),
  lbIdleTimeout: setting(
    durationMs(100, DAY_MS),
    60_000,
    'A client connection is closed so long after its last answer; before its first request, after lbHeadTimeout.',
  ),
  lbBodyTimeout: setting(
    durationMs(100, DAY_MS),
    30_000,
    "A client that stands still: in sending its request's body, or in reading its answer.",
  ),
  lbConnectTimeout: setting(durationMs(10, HOUR_MS), 3_000, 'How long connecting to an upstream may take.'),
  lbResponseTimeout: setting(
    durationMs(10, DAY_MS),
    60_000,
    'From the end of the request to the head of the answer; then 504.',
  ),
  lbStreamTimeout: setting(
    durationMs(100, 7 * DAY_MS),
    300_000,
    'An answer of which nothing comes from the upstream any more, such as a stream of events; then it is cut.',
  ),
  lbTunnelTimeout: setting(
    durationMs(SECOND_MS, 7 * DAY_MS),
    3_600_000,
    'A WebSocket on which nothing moves.',
  ),
} as const satisfies Registry;

export const GATEWAY_SETTINGS = { ...LISTENING, ...TLS, ...SOURCES, ...CHOOSING, ...FAILURES, ...LIMITS };

export const GATEWAY_GROUPS: readonly SettingGroup[] = [
  { title: 'The gateway', settings: LISTENING },
  { title: 'The gateway: TLS', settings: TLS },
  { title: 'The gateway: where upstreams come from', settings: SOURCES },
  { title: 'The gateway: choosing', settings: CHOOSING },
  { title: 'The gateway: failures', settings: FAILURES },
  { title: 'The gateway: limits', settings: LIMITS },
];

export type GatewayValues = Values<typeof GATEWAY_SETTINGS>;
