import { definitionFrom, type DefinedApp } from '../appDefinition.js';

/** An application of an ecosystem file: usable when it has a script, else refused by PM2. */
export function definedApp(name: string, script: string | null = null): DefinedApp {
  const logs = { pm_out_log_path: '/pm2/logs/out.log', pm_err_log_path: '/pm2/logs/error.log' };
  const record = { name, pm_exec_path: script, pm_cwd: '/srv', pm_pid_path: '/pm2/pids/app.pid', ...logs };
  return {
    name,
    instances: 1,
    port: null,
    portFrom: null,
    portVariable: null,
    page: null,
    label: null,
    script,
    cwd: null,
    outFile: null,
    errorFile: null,
    definition: definitionFrom(record, {}, {}),
    problem: script === null ? 'No script path - aborting' : null,
  };
}
