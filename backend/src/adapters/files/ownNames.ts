/** Names of the files that Holdfast and PM2 make, and of those that keep an empty folder in git. */

/** In the data folder. */
export const DATA_NAMES =
  /^(session-secret|secrets|supervisor\.lock|gateway\.lock|.*-state\.json|api-sessions\.json|gateway-.*\.json|.*\.json\.(damaged|tmp)-.*|events\.jsonl(\.\d+)?|deployed-build|builds|run|\.git(keep|ignore))$/;

/** Databases (SQLite) that applications keep in the data folder, as the sample does: expected there, and not ours to change. */
export const DATABASE_NAMES = /^[\w-]+\.db(-shm|-wal|-journal)?$/;

/** In the log folder. */
export const LOG_NAMES =
  /^((ha|pm2|cluster)-.*\.log|health-check\.log)(\.\d+)?(\.gz)?$|^(blackbox|\.git(keep|ignore))$/;

/** In PM2's own folder. */
export const PM2_NAMES = /^(pm2\.log|pm2\.pid|pids|logs|modules|rpc\.sock|pub\.sock)$/;
