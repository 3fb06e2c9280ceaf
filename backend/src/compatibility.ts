/**
 * Names, commands and defaults that people have been told to use elsewhere, and that work here exactly as written. One
 * row each: docs/reference/compatibility.md shows them, and each is run by a test: by
 * test/house/compatibility.test.ts, or, where it takes processes, by test/integration/processes/compatibility.test.ts. Both have a
 * test for every row that names them, or they do not compile.
 */
import { markdownTable } from './lib/markdown.js';

interface Row {
  readonly id: string;
  readonly area: 'Commands' | 'The gateway' | 'The control API' | 'Settings';
  /** As it is typed; Markdown. */
  readonly typed: string;
  /** What it does here; Markdown. */
  readonly does: string;
  readonly test: 'in-process' | 'processes';
}

export const COMPATIBILITY = [
  {
    id: 'two-terminals',
    area: 'Commands',
    typed: '`npm run balancer` in one terminal, `npm run cluster` in another, nothing else set',
    does: 'Serves on 13003, in either order: `cluster` runs sample backends on 13004 to 13008, `balancer` without a source and without a supervisor sends traffic there.',
    test: 'processes',
  },
  {
    id: 'cluster-settings',
    area: 'Settings',
    typed: '`INSTANCE_COUNT`, `START_PORT`',
    does: 'How many instances `npm run cluster` starts (5), and the first one’s port (13004). Where `INSTANCE_COUNT` is set, the ecosystem files of the sample start as many of its backend, too.',
    test: 'in-process',
  },
  {
    id: 'prod',
    area: 'Commands',
    typed: '`npm run prod`',
    does: 'Does both at once, through PM2 and with a supervisor; as `npm start`.',
    test: 'in-process',
  },
  {
    id: 'port-range',
    area: 'The gateway',
    typed: '`BACKEND_START_PORT` (13004), `BACKEND_COUNT` (5), `BACKEND_PORT` (13004)',
    does: 'The first two are a range of ports of this machine; setting either chooses it. The third is the port of the addresses that `BACKEND_DNS` finds.',
    test: 'in-process',
  },
  {
    id: 'load-balancer-file',
    area: 'The gateway',
    typed:
      '`./load-balancer-config.json` with `algorithm`, `healthCheck.healthPath`, `interval`, `timeout`, `unhealthyThreshold`, `healthyThreshold`, `servers[].host`, `port`, `weight`, `id`',
    does: 'Read and watched without being named where it lies in the project root and no other source is set. `load-balancer-config.example.json` is a sample.',
    test: 'in-process',
  },
  {
    id: 'algorithm-names',
    area: 'The gateway',
    typed:
      '`round_robin`, `weighted`, `least_conn`, `ip_hash`, in any case, in that file and as `LB_ALGORITHM`',
    does: 'The algorithms `round-robin`, `weighted-round-robin`, `least-connections`, `ip-hash`.',
    test: 'in-process',
  },
  {
    id: 'consul-weight',
    area: 'The gateway',
    typed: '`Service.Meta.weight` in Consul',
    does: 'The weight of that upstream, where `Weights.Passing` says nothing (1).',
    test: 'in-process',
  },
  {
    id: 'sticky-cookie',
    area: 'The gateway',
    typed: '`LB_STICKY_COOKIE=JSESSIONID`',
    does: 'Works alone: the key that signs the cookie is made once and kept in `session-secret` in the data folder.',
    test: 'in-process',
  },
  {
    id: 'upstream-calls',
    area: 'The gateway',
    typed: '`POST` to `/lb/upstreams`, and below it to `change`, `drain`, `undrain`, `remove`',
    does: 'Add, change, drain and remove an upstream while the gateway runs, weights included; kept over a restart.',
    test: 'in-process',
  },
  {
    id: 'fallback',
    area: 'The gateway',
    typed: '`LB_FALLBACK` as `page:sorry.html`, `redirect:https://…` or `pool:…` (a service, or `host:port`)',
    does: 'What answers when no upstream of a pool can be reached: that page with 503, a redirect, or another pool.',
    test: 'in-process',
  },
  {
    id: 'scale-again',
    area: 'The control API',
    typed: '`POST /api/ha/scale-up` or `scale-down` to a number that is reached already',
    does: '200 with `changed: false` and the number (`toInstances`).',
    test: 'in-process',
  },
  {
    id: 'figures',
    area: 'The gateway',
    typed:
      '`totalRequests`, `successRate`, `averageResponseTime`, `requestsPerSecond`; of each upstream `percentage`, `averageResponseTime`, `successRate`',
    does: 'Stand in `/lb/status` under these names: rates in percent, times in milliseconds, `requestsPerSecond` over 60 s, null where nothing was measured. `activeSessions` is the number of sessions seen in 30 minutes.',
    test: 'in-process',
  },
  {
    id: 'figures-reset',
    area: 'The gateway',
    typed: '`curl -X POST http://127.0.0.1:13003/lb/reset`',
    does: 'Begins these figures anew (also a button on `/lb`); Prometheus’s counters grow on.',
    test: 'in-process',
  },
  {
    id: 'status-pages',
    area: 'The gateway',
    typed: '`/lb`, `/status.html`',
    does: 'Live every second, and every 5 s.',
    test: 'in-process',
  },
  {
    id: 'unused-variable',
    area: 'Settings',
    typed:
      'a variable that Holdfast knows and does not use where it is set, such as `BACKEND_PORT` without `BACKEND_DNS`, or `NODE_TYPE`',
    does: 'A warning at the start that names it and says why; on `/lb`, too, where it is for the gateway.',
    test: 'in-process',
  },
] as const satisfies readonly Row[];

export type CompatibilityId<Test extends Row['test']> = Extract<
  (typeof COMPATIBILITY)[number],
  { test: Test }
>['id'];

/** As documentation shows them. */
export function compatibilityReference(): string {
  const rows: readonly Row[] = COMPATIBILITY;
  const areas = [...new Set(rows.map(({ area }) => area))];
  return areas
    .map((area) => {
      const own = rows.filter((row) => row.area === area).map(({ typed, does }) => [typed, does]);
      return `## ${area}\n\n${markdownTable(['typed', 'what it does here'], own)}`;
    })
    .join('\n\n');
}
