/** What tells instances of a service from other applications of its name: the ecosystem file, and what was judged so far. */
import { readDaemonPid } from './adapters/pm2/daemon.js';
import type { IdentityOptions } from './adapters/pm2/identity.js';
import type { Policies } from './policies.js';
import type { ControlLoop } from './services/loop/controlLoop.js';

/** @param loopNow null: there is none yet. */
export function identityBy(
  policies: Policies,
  pm2Home: string,
  loopNow: () => ControlLoop | null,
): IdentityOptions {
  return {
    ownerOf: (service) => policies.ownerOf(service),
    isKnown: (service, pmId) => {
      const loop = loopNow();
      // The numbers of another daemon mean other processes.
      if (loop === null || loop.observer.meansOtherNumbers(readDaemonPid(pm2Home))) return false;
      return loop.services.get(service)?.provenance.knows(pmId) === true;
    },
  };
}
