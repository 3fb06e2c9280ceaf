/** PM2's own default, where a process has no `kill_timeout` of its own. */
const PM2_KILL_TIMEOUT_MS = 1_600;

/**
 * From PM2's signal to its SIGKILL for this very process, ms; Infinity when PM2 did not start it. PM2 puts what it was
 * started with into its environment. (The agent, which imports nothing, has the same rule for instances.)
 */
export function ownKillTimeoutMs(env: Readonly<NodeJS.ProcessEnv>): number {
  if (env['pm_id'] === undefined) return Infinity;
  const pm2Ms = Number(env['kill_timeout']);
  return pm2Ms > 0 ? pm2Ms : PM2_KILL_TIMEOUT_MS;
}
