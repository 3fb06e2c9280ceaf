/** What is said of an instance that runs, was not started by Holdfast, and has never passed the health probe. */
import type { ServicePolicy } from '../policy.js';

/** What was asked, what came, and what to set. */
export function explainUnverified(
  { pmId, port }: { readonly pmId: number; readonly port: number | null },
  { name, health: { probe } }: Pick<ServicePolicy, 'name' | 'health'>,
  detail: string,
): string {
  const { asked, setting } =
    probe.kind === 'http'
      ? { asked: `GET http://127.0.0.1:${port ?? ''}${probe.path}`, setting: 'healthPath' }
      : { asked: `a connection to 127.0.0.1:${port ?? ''}`, setting: 'startPort' };
  return (
    `pm ${pmId} runs but has never passed its health probe, so it is kept as it is: ${asked}: ${detail}; ` +
    `set ${setting} of ${name} (config.yml: services.${name}.${setting}) to what it answers`
  );
}
