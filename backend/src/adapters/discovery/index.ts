/** The kinds of source. Adding one: a file here, a line here, and its settings in domain/upstreams/upstreamSource.ts. */
import type { UpstreamSource } from '../../domain/upstreams/upstreamSource.js';
import type { Clock, Discovery } from '../../ports.js';
import type { SupervisorAddress } from '../supervisor/supervisorAgent.js';
import { ConsulDiscovery } from './consul.js';
import { DnsDiscovery } from './dns.js';
import { FileDiscovery, type FileReading } from './file.js';
import { staticDiscovery } from './static.js';
import { SupervisorDiscovery } from './supervisor.js';

export interface DiscoveryWorld<Document> {
  readonly clock: Clock;
  readonly random: () => number;
  readonly supervisor: SupervisorAddress;
  /** Reads a load-balancer-config.json. */
  readonly parse: (text: string) => FileReading<Document>;
  readonly onDocument: (document: Document) => void;
}

/** @param service whose instances are upstreams when the source is PM2. */
export function createDiscovery<Document>(
  source: UpstreamSource,
  service: string,
  { clock, random, supervisor, parse, onDocument }: DiscoveryWorld<Document>,
): Discovery {
  switch (source.kind) {
    case 'pm2':
      return new SupervisorDiscovery({ supervisor, service, clock, random });
    case 'static':
      return staticDiscovery(source.members);
    case 'dns':
      return new DnsDiscovery({ source, clock, random });
    case 'consul':
      return new ConsulDiscovery({ source, clock, random });
    case 'file':
      return new FileDiscovery({ file: source.file, parse, onDocument });
  }
}
