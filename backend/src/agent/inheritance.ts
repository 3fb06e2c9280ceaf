/**
 * How the agent learns where its supervisor is, and that nobody else does: what PM2 gave to this process would go on to
 * its children, whose liveness is not the supervisor's business, and who would appear there as strangers.
 *
 * The socket's path comes in HOLDFAST_AGENT_SOCKET. In fork mode that is an environment variable like any other. In
 * cluster mode PM2 puts the application's variables into the environment only after the preload, out of the JSON in
 * `pm2_env`; there it is read from, and taken out of, that JSON. The preload itself is taken out of `process.execArgv`,
 * which `child_process.fork` and `cluster` hand on by default.
 */
const VARIABLE = 'HOLDFAST_AGENT_SOCKET';

/** Reads the path and takes the variable out of `env`. null: there is none, so no supervisor. */
export function takeSocketPath(env: NodeJS.ProcessEnv): string | null {
  const own = env[VARIABLE];
  delete env[VARIABLE];
  const packed = env['pm2_env'];
  if (packed === undefined) return own || null;
  const variables = JSON.parse(packed) as Record<string, unknown>;
  const packedPath = variables[VARIABLE];
  if (packedPath === undefined) return own || null;
  delete variables[VARIABLE];
  const { env: nested } = variables;
  if (typeof nested === 'object' && nested !== null) delete (nested as Record<string, unknown>)[VARIABLE];
  env['pm2_env'] = JSON.stringify(variables);
  return typeof packedPath === 'string' && packedPath !== '' ? packedPath : own || null;
}

/** Takes `--require <file>` (also `-r`, also with `=`) out of `execArgv`, for any of `files`. */
export function takeOutPreload(execArgv: string[], files: readonly string[]): void {
  for (let at = execArgv.length - 1; at >= 0; at -= 1) {
    const word = execArgv[at] ?? '';
    const isOption = word === '--require' || word === '-r';
    if (isOption && files.includes(execArgv[at + 1] ?? '')) execArgv.splice(at, 2);
    else if (files.some((file) => word === `--require=${file}`)) execArgv.splice(at, 1);
  }
}
