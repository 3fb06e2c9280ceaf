import type { Member } from './members.js';

/** Where a pool's upstreams come from, as the configuration says. */
export type UpstreamSource =
  | {
      /** The instances that the supervisor announces as serving. */
      readonly kind: 'pm2';
      /** Upstreams of a gateway that PM2 did not start, until a supervisor has answered; null: none. */
      readonly standIn: readonly Member[] | null;
    }
  /** Written out, or a range of ports. */
  | { readonly kind: 'static'; readonly members: readonly Member[] }
  | {
      readonly kind: 'dns';
      readonly name: string;
      /** Of the addresses found; null: SRV records bring their own. */
      readonly port: number | null;
      readonly intervalMs: number;
      /** null: the system's. */
      readonly servers: readonly string[] | null;
    }
  | {
      readonly kind: 'consul';
      readonly url: string;
      readonly service: string;
      readonly datacenter: string | null;
      readonly tag: string | null;
      readonly token: string | null;
    }
  /** A load-balancer-config.json. */
  | {
      readonly kind: 'file';
      readonly file: string;
      /** No setting names it: it was found in the project root. */
      readonly found?: true;
    };
