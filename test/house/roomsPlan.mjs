/**
 * The rooms of the three large folders, from the ground floor up: a room may import what it lists, and lists only rooms
 * that stand before it. An arrow to a room that stands later points upwards. `npm run check` holds the code to it
 * (rooms.mjs), in both directions: what is listed here is also used.
 */
/** @typedef {{ readonly room: string, readonly imports: readonly string[] }} Room */

/** @type {Readonly<Record<string, readonly Room[]>>} By the folder's path. */
export const PLAN = {
  'backend/src/services': [
    // What has happened, told once: kept, logged, handed to all that listen.
    { room: 'events', imports: [] },
    // Charges against restart budgets, and what of them is saved.
    { room: 'budgets', imports: [] },
    { room: 'failoverManager', imports: ['budgets'] },
    { room: 'loadBalancer', imports: [] },
    // What can be seen: PM2's lists, probes, agents, reported traffic, load.
    { room: 'observe', imports: ['events'] },
    // Everything that is known of one service.
    { room: 'service', imports: ['events', 'failoverManager', 'observe'] },
    // Why a service does not serve as it should.
    { room: 'diagnosis', imports: ['events', 'observe', 'service'] },
    // What is kept of an instance that was replaced or died.
    { room: 'blackBox', imports: ['events', 'failoverManager', 'observe', 'service'] },
    // What follows from what is seen.
    {
      room: 'decide',
      imports: ['events', 'failoverManager', 'loadBalancer', 'observe', 'service', 'diagnosis', 'blackBox'],
    },
    // What changes instances, and when it is refused.
    { room: 'act', imports: ['events', 'failoverManager', 'observe', 'service', 'diagnosis'] },
    // Observe, decide, act, over and over; and what of it outlives the supervisor.
    {
      room: 'loop',
      imports: [
        'events',
        'budgets',
        'failoverManager',
        'loadBalancer',
        'observe',
        'service',
        'diagnosis',
        'blackBox',
        'decide',
        'act',
      ],
    },
    // Figures for the API.
    { room: 'views', imports: ['service', 'loop'] },
    { room: 'highAvailabilityManager', imports: ['events', 'service', 'act', 'loop', 'views'] },
  ],
  'backend/src/domain': [
    { room: 'errors', imports: [] },
    { room: 'errorCodes', imports: [] },
    // Instances, processes, operations: the nouns of the control plane.
    { room: 'model', imports: [] },
    // What a service is held to.
    { room: 'policy', imports: [] },
    // Addresses, ports, and what they belong to.
    { room: 'network', imports: ['model'] },
    // What is known of an instance from inside.
    { room: 'agents', imports: ['model'] },
    { room: 'diagnosis', imports: ['model', 'policy'] },
    { room: 'events', imports: ['model', 'diagnosis'] },
    { room: 'health', imports: ['model', 'policy', 'agents'] },
    { room: 'failures', imports: ['model', 'policy'] },
    { room: 'memory', imports: ['policy'] },
    { room: 'reconcile', imports: ['model'] },
    // Where requests may go: pools, routes, members, retries.
    { room: 'upstreams', imports: ['network'] },
    // Choosing one of them.
    { room: 'balancing', imports: ['network'] },
    { room: 'statistics', imports: ['upstreams'] },
    { room: 'blackBox', imports: ['model', 'agents', 'diagnosis', 'events', 'failures'] },
    // What is shown of all this.
    {
      room: 'views',
      imports: ['model', 'network', 'agents', 'diagnosis', 'events', 'memory', 'statistics', 'blackBox'],
    },
    // How many instances a service should have.
    { room: 'scaling', imports: ['policy', 'agents', 'views'] },
  ],
  'backend/src/gateway': [
    // Reading and writing HTTP/1.1.
    { room: 'http1', imports: [] },
    // The frames of HTML pages, and the error page.
    { room: 'html', imports: [] },
    { room: 'webSocket', imports: [] },
    // What the whole data path has in common: limits, deadlines, a client as others see it, own answers.
    { room: 'shared', imports: ['http1', 'html'] },
    { room: 'proxyProtocol', imports: ['shared'] },
    { room: 'tls', imports: ['shared'] },
    { room: 'http2', imports: ['http1', 'shared'] },
    { room: 'accessLog', imports: ['http1', 'shared'] },
    // Pools, connections to upstreams, stickiness.
    { room: 'upstreams', imports: ['shared'] },
    // The gateway's own pages.
    { room: 'pages', imports: ['http1', 'html', 'shared', 'tls'] },
    // One request on its way to an upstream, and its answer; or a tunnel.
    { room: 'exchange', imports: ['http1', 'webSocket', 'shared', 'upstreams'] },
    // Connections of clients: accepted, read, ended.
    {
      room: 'client',
      imports: ['http1', 'shared', 'proxyProtocol', 'tls', 'http2', 'upstreams', 'pages', 'exchange'],
    },
    // The process that knows the members, and forks workers.
    { room: 'primary', imports: ['shared', 'tls', 'accessLog', 'pages'] },
    // The process that serves.
    {
      room: 'worker',
      imports: ['shared', 'tls', 'accessLog', 'upstreams', 'pages', 'exchange', 'client', 'primary'],
    },
  ],
};
