import { operand } from '../../lib/words.js';

/** What is said of files that a deploy did not verify and that still lie in the folder of their service. */
export function unprovenText(service: string): string {
  return (
    `The files that did not verify still lie in the folder of ${service}: the next instance that is started runs them. ` +
    `Mend them and deploy again, or put back those that served: npx holdfast deploy --put-back ${operand(service)}.`
  );
}
