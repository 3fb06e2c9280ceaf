/**
 * Every code that an error or a refusal can carry, once, and what it means. Codes are part of the public API: they are in
 * answers of the control API and of the gateway, in logs, and in `refusals_total`. docs/reference/error-codes.md is made
 * from here, and a house test holds this list to the sources in both directions.
 */
export interface CodeGroup {
  readonly title: string;
  /** Where a reader meets them. */
  readonly where: string;
  readonly codes: Readonly<Record<string, string>>;
}

const operations: CodeGroup = {
  title: 'Operations',
  where: 'Calls of the control API that change instances.',
  codes: {
    'service.unknown': 'There is no service of this name.',
    'service.quarantined': 'The service is quarantined; a deploy or `reset-failure` ends that.',
    'service.not-managed':
      'The service was released, or is not configured any more. Adopt it, or name it in config.yml.',
    'service.not-configured':
      'Neither the ecosystem file nor config.yml names the service. Name it there, then adopt it.',
    'service.unverified':
      'No instance has ever passed its health probe, so that a new one could not be verified. Set healthPath to what it answers.',
    'service.is-job':
      'The service is a job (`autorestart: false`): each start is one run, so it is not scaled.',
    'service.not-adopted': 'The supervisor has just started and is still looking at what runs. Try again.',
    'service.undefined': 'No ecosystem file defines the service, and PM2 lists no instance to copy.',
    'operation.conflict': 'Another operation on this service is under way.',
    'operation.failed': 'The operation did not reach its goal; the message says why.',
    'operation.superseded': 'The operation had come to a standstill, and a deploy took its place.',
    'scale.above-max': 'The target is above `maxInstances`.',
    'scale.below-min': 'The target is below `minInstances`.',
    'scale.not-above-current': 'The target is not above the current count.',
    'scale.not-below-current': 'The target is not below the current count.',
    'deploy.canary-failed': 'The first new instance did not pass. It is removed; the old instances stayed.',
    'deploy.nothing-kept': 'No files are kept that could be put back.',
    'blackbox.unknown': 'No black box of this id is kept.',
    'blackbox.no-file': 'This black box has no such file.',
    'blackbox.damaged': 'The files of this black box cannot be read.',
    'gateway.too-many':
      'More gateways report to the supervisor than it listens to, or another one has this name.',
  },
};

const requests: CodeGroup = {
  title: 'Requests to the control API',
  where: 'Answers of the supervisor before anything was done.',
  codes: {
    'auth.required': 'A token is set, and the request brought none.',
    'auth.too-many-requests':
      'More requests without the token came from this address than are answered; show the token, or ask less often.',
    'auth.invalid': 'The token is wrong.',
    'session.not-needed': 'No token is set, so there is nothing to log in to.',
    'host.missing': 'The request has no Host header.',
    'host.foreign': 'The Host header is not a name of this API; see `haAllowedHosts`.',
    'origin.foreign': 'A page of another origin sent the request through a browser.',
    'request.invalid': 'Fields are missing, unknown or out of range; `details.problems` lists every one.',
    'request.malformed': 'The request is not valid HTTP.',
    'request.malformed-json': 'The body is not valid JSON.',
    'request.not-json': 'The body is not declared as `application/json`.',
    'request.too-large': 'The body is larger than the call takes.',
    'request.headers-too-large': 'The headers are too large.',
    'request.incomplete': 'The connection ended before the body was complete.',
    'request.aborted': 'The client left before the body was complete.',
    'request.timeout': 'The request did not arrive in time.',
    'request.bad-encoding': 'The path has an invalid percent-encoding.',
    'charset.unsupported': 'The charset of the body is not supported.',
    'encoding.unsupported': 'The content encoding of the body is not supported.',
    'route.unknown': 'There is no such call. `GET /` lists all.',
    'route.method-not-allowed': 'The call exists, with another method.',
    'stream.full': 'As many clients as are served follow the event stream already.',
    'stream.closing': 'The supervisor is stopping and takes no new followers.',
    'supervisor.not-ready': 'The supervisor cannot do its work yet; the message says what is missing.',
    'internal.error': 'A defect. The log of the supervisor has the details under the request id.',
  },
};

const pm2: CodeGroup = {
  title: 'PM2 and processes',
  where: 'Answers of the control API (mostly 502 and 503), `action.failed` events, and logs.',
  codes: {
    'pm2.unreachable': "PM2's daemon does not run.",
    'pm2.timeout': "PM2's daemon runs and does not answer in time.",
    'pm2.overloaded': "Too many calls wait for PM2's daemon.",
    'pm2.not-permitted': 'The PM2 in PM2_HOME belongs to another user.',
    'deployment.other':
      'Holdfast runs here already for another ecosystem file, project folder or PM2; the message says which, and what to do.',
    'pm2.not-started':
      'PM2 does not list an application after it was told to start it; the message has what it said.',
    'pm2.refused': 'PM2 refused the call; the message has its reason.',
    'pm2.bad-answer': 'PM2 answered something that is not understood.',
    'pm2.missing': 'The pm2 command is not there; run `npm ci`, or set `pm2Bin`.',
    'pm2.start-failed': "PM2's daemon could not be started.",
    'pm2.instance-gone': 'PM2 no longer lists the instance.',
    'pm2.instance-changed': 'Another process has taken the place of the instance meanwhile.',
    'pm2.instance-failed': 'The instance ended while it was starting.',
    'pm2.not-ended': 'The instance did not end when it was told to.',
    'process.unkillable': 'A process did not end, not even by SIGKILL.',
    'port.none-free': "No port of the service's range is free; see `portCount`.",
    'port.taken': 'Another process holds the port; the message names it where it is known.',
    'port.forbidden': 'This user may not listen on the port.',
    'host.unavailable': 'The address to listen on is not one of this machine.',
    'listen.failed': 'Listening failed; the message has the reason.',
    'ecosystem.unreadable': 'The ecosystem file cannot be read or evaluated.',
    'ecosystem.invalid': 'An application in the ecosystem file is not defined in a way that can be used.',
    'ecosystem.unusable': 'The ecosystem file lacks what the command needs.',
    'state.unreadable':
      'The state file is there and cannot be read; the supervisor does not begin without it.',
    'state.unwritable': 'The state file cannot be written.',
  },
};

const answers: CodeGroup = {
  title: 'Answers of the gateway',
  where:
    'In `error.code` of an answer that the gateway gives itself, in the access log, and in `holdfast_gateway_refusals_total`.',
  codes: {
    'upstream.none': 'No upstream of the pool takes traffic.',
    'upstream.unreachable': 'No connection to an upstream came about.',
    'upstream.failed': 'The upstream gave no valid answer.',
    'upstream.unavailable': 'The upstream said that it cannot serve, and no other could be asked.',
    'upstream.timeout': 'The upstream did not answer within `lbResponseTimeout`.',
    'queue.full': 'Every upstream is busy, and as many requests wait as `lbMaxQueued` allows.',
    'queue.timeout': 'No upstream had room within `lbQueueTimeout`.',
    'route.none': 'No route serves this host and path.',
    'route.loop': 'The request has been through this gateway before: an upstream is the gateway itself.',
    'head.malformed': 'The request is not valid HTTP.',
    'head.too-large': 'The head is larger than `lbMaxHead`.',
    'head.too-many-fields': 'The head has more than 100 lines.',
    'head.timeout': 'The head did not arrive within `lbHeadTimeout`.',
    'host.invalid': 'The Host header is missing, given twice, or not a host.',
    'target.invalid': 'The request target is neither a path nor an http(s) URL.',
    'target.too-long': 'The request target is longer than 8 KiB.',
    'framing.ambiguous': 'Two readers could disagree about where the request ends.',
    'body.malformed': 'The body is not correctly chunked.',
    'body.too-large': 'The body is larger than `lbMaxBody`.',
    'body.timeout': 'The body stood still for `lbBodyTimeout`.',
    'expect.unknown': 'The Expect header asks for something other than `100-continue`.',
    'method.unknown': 'The method is not known.',
    'method.not-allowed': 'The method is not allowed here.',
    'protocol.unknown': 'CONNECT asks for a protocol other than WebSocket.',
    'version.unsupported': 'The HTTP version is not 1.0 or 1.1.',
    'limit.connections': 'The gateway has as many connections as `lbMaxConnections` allows.',
    'limit.connections-per-ip': 'This address has as many connections as `lbMaxConnectionsPerIp` allows.',
    'limit.requests': 'This address sends more requests than `lbMaxRequestsPerIp` allows.',
    'page.local-only': 'This page is for callers on this machine, or with a token; none is set.',
    'page.unknown': 'The gateway has no such page.',
    'page.unavailable': 'The page cannot be made at the moment.',
    'page.timeout': 'The page was not ready in time.',
    'page.failed': 'The page could not be made; the log says why.',
    'call.browser': 'A browser sent a call that changes upstreams; those are for programs.',
    'call.other-user':
      'Without the token, upstreams are changed by programs here that run as the user of the gateway.',
    'call.too-many': 'Too many calls wait for upstreams to drain.',
    'body.not-json': 'The body of a call must be JSON.',
    'body.invalid': 'The body of a call is not JSON, or a field is missing, unknown or out of range.',
    'upstreams.fixed': 'Calls do not change what this source lists; the message says where it is changed.',
    'upstreams.too-many': 'The pool has as many upstreams as a pool may have.',
    'upstream.unknown': 'The pool has no such upstream.',
    'upstream.last': 'No other upstream would take traffic; `force` does it all the same.',
    'upstream.self': 'The address is the gateway itself.',
  },
};

const ended: CodeGroup = {
  title: 'Connections that the gateway ended',
  where:
    'There was no answer, or not all of it: only in the access log and in `holdfast_gateway_refusals_total`.',
  codes: {
    'client.gone': 'The client left before it had its answer.',
    'client.incomplete': 'The client ended its connection within a request.',
    'client.slow': 'The client stood still for `lbBodyTimeout`.',
    'upstream.cut': 'The upstream broke off within its answer.',
    'upstream.stalled': 'Nothing came from the upstream for `lbStreamTimeout`, within its answer.',
    'tunnel.drained': 'A WebSocket was closed with 1001 because its upstream or its worker left.',
    'tunnel.idle': 'A WebSocket was closed with 1001 after `lbTunnelTimeout` without traffic.',
    'tunnel.cut': 'A WebSocket ended within a message that never ended.',
    'http2.flood': 'An HTTP/2 client sent more control frames than are tolerated.',
    'proxy.malformed':
      'The connection did not begin with a valid PROXY header, as `proxyProtocolFrom` requires.',
    'proxy.timeout': 'The PROXY header did not arrive in time.',
    'tls.failed': 'The TLS handshake failed.',
    'tls.timeout': 'The TLS handshake took too long.',
    'tls.stopped': 'The gateway stopped during the TLS handshake.',
    'limit.handshakes': 'Too many TLS handshakes were under way at the same time.',
    'accept.failed': 'The system could not accept a connection, such as for lack of file descriptors.',
  },
};

const commands: CodeGroup = {
  title: 'Commands and starting',
  where: 'In logs of the commands and of processes that could not start.',
  codes: {
    'config.invalid': 'The configuration has problems; every one is listed.',
    'config.token-required': '`haHost` is not loopback, and `haApiToken` is not set.',
    'folder.unwritable': 'A folder that is needed cannot be written.',
    'supervisor.unreachable': 'The supervisor does not answer.',
    'supervisor.not-starting': 'The supervisor was started and does not answer in time.',
    'supervisor.locked': 'Another supervisor uses the same data directory.',
    'gateway.no-worker': 'Every gateway worker ended before it listened.',
    'gateway.not-serving': 'The gateway runs, and does not serve in time.',
    'gateway.node-unfit':
      'The gateway cannot run on the Node that `GATEWAY_NODE` names; the message says why.',
    'gateway.not-renewed': 'The gateway did not hand over to a successor in time.',
    'tls.certificates': 'The certificates cannot be used; the message says which and why.',
    'cluster.no-service': '`npm run cluster` found no such service in the ecosystem file.',
    'cluster.not-node': '`npm run cluster` runs only what node runs.',
    'cluster.no-port': '`npm run cluster` does not know a first port for the service.',
    'deploy.install-failed': '`npm ci` failed.',
    'deploy.build-failed': 'The build failed; nothing was changed.',
    'deploy.failed': 'A service was not rolled; the message says why.',
    'deploy.unfinished': 'The deploy of a service did not end in time.',
    'operation.unfinished': 'An operation did not end in time.',
    'test.nothing-serves': 'There is nothing to test: no instance serves.',
    'test.not-healthy': 'The deployment is not healthy, so it is not disturbed.',
    'test.fault-refused':
      'The service refused a fault; `npx holdfast test-ha --help` says which ones it needs.',
    'test.timeout': 'What the test waited for did not happen in time.',
    'test.interrupted': 'The test was ended by a signal, and has put things back.',
  },
};

export const CODE_GROUPS: readonly CodeGroup[] = [operations, requests, pm2, answers, ended, commands];
