/** The sample backend: word lists, a login session, and group messages over WebSocket. See README.md beside. */
import express from 'express';
import { firstPage } from './firstPage.js';
import { readFrameRate } from './groups/frameRate.js';
import { GroupHub } from './groups/groupHub.js';
import { RedisBus } from './groups/redisBus.js';
import { messageOf } from './lib/errors.js';
import type { ServiceDefinition } from './lib/service.js';
import type { CheckResult, DependencyCheck } from './lib/statusRoutes.js';
import { listRoutes } from './lists/routes.js';
import { sessionRoutes } from './session/routes.js';
import { readSessionSecret, SessionCookies } from './session/sessionCookies.js';
import { openStore } from './store/openStore.js';
import type { WordStore } from './store/wordStore.js';

const CHECK_TIMEOUT_MS = 1500;

export const backend: ServiceDefinition = {
  name: 'wordpecker-backend',
  defaultPort: 13_004,
  create(reader, log) {
    const redisUrl = reader.url('REDIS_CONN_STRING', ['redis:', 'rediss:']);
    const frontendPath = reader.text('FRONTEND_PATH');
    const sessions = new SessionCookies(readSessionSecret(reader, log));
    const store = openStore(reader, log);
    const bus = redisUrl === null ? null : new RedisBus(redisUrl, log);
    const hub = new GroupHub({ bus, frameRate: readFrameRate(reader) });

    return {
      checks: [storeCheck(store), ...(bus === null ? [] : [redisCheck(bus)])],
      addRoutes(app, instance) {
        app.get('/', firstPage({ instance, frontendPath }));
        app.use('/api', express.json({ limit: '64kb' }));
        app.use('/api/lists', listRoutes(store, sessions));
        app.use('/api', sessionRoutes(sessions));
        app.get(
          '/api/groups',
          (_request, response) => void response.json({ success: true, data: hub.figures }),
        );
      },
      upgrade: (request, socket, head) => void hub.upgrade(request, socket, head),
      async start() {
        // Early, so that the log tells of a database that is down; a request would connect as well.
        await Promise.allSettled([store.ping(), bus?.connect()]);
      },
      beginDrain: () => hub.close(),
      async close() {
        await Promise.all([store.close(), bus?.close()]);
      },
    };
  },
};

function storeCheck(store: WordStore): DependencyCheck {
  const ping = async (): Promise<CheckResult> => {
    try {
      await store.ping();
      return { status: 'up' };
    } catch (error) {
      return { status: 'down', detail: messageOf(error) };
    }
  };
  const timeout = (): Promise<CheckResult> =>
    new Promise((resolve) => {
      setTimeout(resolve, CHECK_TIMEOUT_MS, {
        status: 'down',
        detail: `no answer within ${CHECK_TIMEOUT_MS} ms`,
      }).unref();
    });
  return { name: 'database', required: true, check: () => Promise.race([ping(), timeout()]) };
}

function redisCheck(bus: RedisBus): DependencyCheck {
  const down: CheckResult = { status: 'down', detail: 'messages stay within each instance until it is back' };
  return {
    name: 'redis',
    required: false,
    check: async () => ((await bus.ping()) ? { status: 'up' } : down),
  };
}
