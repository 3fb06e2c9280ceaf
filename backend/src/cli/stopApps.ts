/**
 * Stopping applications in the order that loses nothing: the supervisor first, or it would replace what is being stopped;
 * then the gateway, which finishes what clients have under way while the services still answer; then the services.
 */
import type { CliContext } from './context.js';
import { GATEWAY_NAME, isService, SUPERVISOR_NAME } from './ecosystemFile.js';
import type { Pm2App } from './pm2Command.js';

/** Every instance may take its whole kill time-out, one after the other. */
export const STOP_TIMEOUT_MS = 300_000;

/** Ends them and removes them from PM2's list. */
export async function stopApps(context: CliContext, rows: readonly Pm2App[]): Promise<void> {
  const groups = [
    rows.filter(({ name }) => name === SUPERVISOR_NAME),
    rows.filter(({ name }) => name === GATEWAY_NAME),
    rows.filter(isService),
  ];
  for (const group of groups) if (group.length > 0) await remove(context, group);
}

async function remove({ terminal, pm2 }: CliContext, rows: readonly Pm2App[]): Promise<void> {
  const label = [...new Set(rows.map(({ name }) => name))].join(', ');
  terminal.progress(`stopping ${label}; requests in flight are finished first`);
  // By number: a name may be one that PM2 takes for something else.
  await pm2.run(['delete', ...rows.map(({ pmId }) => String(pmId))], STOP_TIMEOUT_MS);
  terminal.done(`Stopped ${label} (${rows.length} ${rows.length === 1 ? 'process' : 'processes'}).`);
}
