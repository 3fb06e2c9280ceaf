/** What PM2 tells between two lists, and which part of the control plane hears it. */
import type { ProcessManager } from '../../ports.js';
import type { FailureWatch } from '../decide/failureWatch.js';
import type { Observer } from '../observe/observer.js';
import type { SupervisedService } from '../service/supervisedService.js';

/** @returns what ends it. */
export function followManager(
  manager: ProcessManager,
  services: ReadonlyMap<string, SupervisedService>,
  { watch, observer }: { readonly watch: FailureWatch; readonly observer: Observer },
): readonly (() => void)[] {
  const about = (name: string, run: (service: SupervisedService) => void): void => {
    const service = services.get(name);
    if (service !== undefined) run(service);
  };
  return [
    manager.on('exit', (exit) => about(exit.service, (service) => watch.exited(service, exit))),
    manager.on('stopped', (id) => about(id.service, (service) => watch.stopped(service, id))),
    manager.on('restarting', (one) => about(one.service, ({ restarts }) => restarts.note(one))),
    manager.on('online', ({ service }) => about(service, () => observer.poke())),
    manager.on('lost', () => observer.poke()),
  ];
}
