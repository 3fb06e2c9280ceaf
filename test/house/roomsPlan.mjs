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
      imports: [
        'events',
        'failoverManager',
        'loadBalancer',
        'observe',
        'service',
        'diagnosis',
        'blackBox',
      ],
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
  'backend/src/domain': [],
  'backend/src/gateway': [],
};
