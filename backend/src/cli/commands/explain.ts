/** `explain`: why a service is as it is now. */
import type { BlackBoxEntry } from '../../domain/blackBox/blackBox.js';
import type { EventRecord } from '../../domain/events.js';
import type {
  BlackBoxView,
  FailoverView,
  LoadBalancerView,
  StatusView,
} from '../../domain/views/controlPlane.js';
import type { ApiClient } from '../apiClient.js';
import { parseWords, type Command } from '../command.js';
import { explanation, type Explained } from '../explanation.js';
import { findService } from '../services.js';

const EVENTS = 8;

export const explain: Command = {
  summary: 'why a service is as it is: decisions, instances, failures, last black box',
  usage: `Usage: npx holdfast explain [SERVICE] [--json]

Why the service is as it is now: the last decision about the number of its instances with its figures and what limited
it, the state of each instance with its last probe, restart budget and quarantine, the last black box, the last events.
Without SERVICE: of every service.

    npx holdfast explain my-api

  --json   all of it for machines
  --help   this text`,
  toleratesMistakes: true,

  async run(args, { api, terminal }) {
    const { values, words } = parseWords(args, { json: { type: 'boolean', default: false } }, ['[SERVICE]']);
    const [name] = words;
    const only = name === undefined ? null : (await findService(api, name)).name;
    const all = await gather(api, only);
    if (values.json) {
      terminal.json(only === null ? all : all[0]);
      return 0;
    }
    if (all.length === 0) terminal.line('The supervisor looks after no service.');
    all.forEach((about, index) => {
      if (index > 0) terminal.line();
      for (const line of explanation(terminal, about, Date.now())) terminal.line(line);
    });
    return 0;
  },
};

async function gather(api: ApiClient, only: string | null): Promise<readonly Explained[]> {
  const { data: status } = await api.get<StatusView>('/api/ha/status');
  const { data: balancer } = await api.get<LoadBalancerView>('/api/ha/load-balancer');
  const { data: failover } = await api.get<FailoverView>('/api/ha/failover-manager');
  const { data: kept } = await api.get<{ blackBoxes: readonly BlackBoxEntry[] }>('/api/ha/blackbox');
  const chosen = status.services.filter(({ name }) => only === null || name === only);
  return Promise.all(
    chosen.map(async (service): Promise<Explained> => {
      const query = new URLSearchParams({ service: service.name, limit: String(EVENTS) });
      const { data } = await api.get<{ events: readonly EventRecord[] }>(`/api/ha/events?${query}`);
      const entry = kept.blackBoxes.findLast((box) => box.service === service.name);
      return {
        service,
        scaling: balancer.services.find(({ name }) => name === service.name) ?? null,
        thresholds: balancer.thresholds,
        failures: failover.services.find(({ name }) => name === service.name) ?? null,
        limits: failover.limits,
        blackBox: entry === undefined ? null : await readBlackBox(api, entry.id),
        events: data.events,
        managed: status.running,
      };
    }),
  );
}

/** null: it made room for others since it was listed. */
async function readBlackBox(api: ApiClient, id: string): Promise<BlackBoxView | null> {
  return api
    .get<BlackBoxView>(`/api/ha/blackbox/${encodeURIComponent(id)}`)
    .then(({ data }) => data)
    .catch(() => null);
}
