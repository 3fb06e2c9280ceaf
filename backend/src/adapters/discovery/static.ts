/** Upstreams that are written out, or a range of ports: said once, never changed. */
import type { Member } from '../../domain/upstreams/members.js';
import type { Discovery } from '../../ports.js';
import { MemberFeed } from './feed.js';

export function staticDiscovery(members: readonly Member[]): Discovery {
  const feed = new MemberFeed();
  return {
    start: (listener, onProblem) => {
      feed.open(listener, onProblem);
      feed.publish(members);
    },
    close: () => {
      feed.close();
      return Promise.resolve();
    },
  };
}
