/**
 * A client keeps its upstream, by its whole address (IPv4 or IPv6, see hash.ts). Consistent: an upstream that leaves,
 * or is not available, moves only its own clients; one that comes back gets exactly those again. Which upstream a
 * client has depends on the upstreams' ids and weights only, so all gateways agree.
 */
import { KeyedEndpoints } from './keyed.js';
import type { Algorithm } from './picker.js';

export const ipHash: Algorithm = {
  name: 'ip-hash',
  keyedBy: 'client-ip',
  build: (endpoints, random) => {
    const keyed = new KeyedEndpoints(endpoints, random);
    return { pick: ({ hash, tried }) => keyed.pick(hash, tried) };
  },
};
