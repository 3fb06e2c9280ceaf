/**
 * In what an instance that is started now would differ from one that runs, so that it can be said before the next failure
 * and not at it. Names of variables are told, never their values.
 */
import { isDeepStrictEqual } from 'node:util';
import type { AppDefinition } from './appDefinition.js';
import { definitionFromRecord } from './launch.js';

/** Variables of a shell, of npm and of PM2 that no application is meant to need. */
const OF_A_SESSION =
  /^(_|COLORTERM|COLUMNS|CONDA_.*|DBUS_.*|DISPLAY|EDITOR|FORCE_COLOR|GPG_.*|HIST.*|HOSTNAME|HOSTTYPE|INIT_CWD|INVOCATION_ID|JOURNAL_STREAM|LANG|LANGUAGE|LC_.*|LESS.*|LINES|LOGNAME|LS_COLORS|MAIL|MANPATH|MOTD_.*|NO_COLOR|NODE|NVM_.*|OLDPWD|PAGER|PATH|PM2_.*|PS1|PWD|SHELL|SHLVL|SSH_.*|SUDO_.*|SYSTEMD_.*|TERM.*|TMPDIR|TMUX.*|TZ|USER|VISUAL|WINDOWID|XDG_.*|npm_.*|HOLDFAST_AGENT_SOCKET|HA_.*|io)$/;

const MOST_NAMES = 12;

/**
 * @param planned what an instance would be started as.
 * @param record PM2's record of one that runs.
 * @param isSamePlace whether two paths that are written differently lead to the same place.
 * @returns one clause each, in the words of an ecosystem file; empty when the two are the same.
 */
export function startDifferences(
  planned: AppDefinition,
  record: Readonly<Record<string, unknown>>,
  isSamePlace: (a: string, b: string) => boolean,
): readonly string[] {
  const running = definitionFromRecord(record);
  if (running === null) return [];
  const [next, now] = [factsOf(planned), factsOf(running)];
  const differing = Object.keys(next)
    .filter((key) => {
      const [a, b] = [next[key], now[key]];
      return !isDeepStrictEqual(a, b) && !(isPath(a) && isPath(b) && isSamePlace(a, b));
    })
    .map((key) => `${key} would be ${JSON.stringify(next[key])}, not ${JSON.stringify(now[key])}`);
  // PM2 gives an instance a variable that has the service's name.
  const { [planned.name]: _own, ...env } = planned.env;
  return [...differing, ...variableDifferences(env, running.env)];
}

/** Paths that the two write differently: where they lead decides whether they are a difference. */
export function differingPaths(
  planned: AppDefinition,
  record: Readonly<Record<string, unknown>>,
): readonly string[] {
  const running = definitionFromRecord(record);
  if (running === null) return [];
  const [next, now] = [factsOf(planned), factsOf(running)];
  return Object.keys(next).flatMap((key) =>
    next[key] === now[key] ? [] : [next[key], now[key]].filter(isPath),
  );
}

function factsOf(app: AppDefinition): Readonly<Record<string, unknown>> {
  return {
    script: app.script,
    interpreter: app.interpreter,
    args: app.args,
    node_args: app.nodeArgs,
    cwd: app.cwd,
    exec_mode: app.mode,
    uid: app.options['uid'] ?? null,
    gid: app.options['gid'] ?? null,
    out_file: withoutNumber(app.outFile),
    error_file: withoutNumber(app.errorFile),
  };
}

function variableDifferences(
  next: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): readonly string[] {
  // Holdfast gives HOME to each; PM2 only where it is in the environment.
  const compared = (name: string): boolean =>
    !OF_A_SESSION.test(name) && name !== 'PORT' && (name !== 'HOME' || now[name] !== undefined);
  const names = Object.keys(next).filter(compared);
  const missing = Object.keys(now).filter((name) => compared(name) && next[name] === undefined);
  const added = names.filter((name) => now[name] === undefined);
  const changed = names.filter((name) => now[name] !== undefined && now[name] !== next[name]);
  return [
    ...clause('it would not have the variable', missing, ', which the file does not give it'),
    ...clause('it would also have the variable', added, ''),
    ...clause('it would have another value of the variable', changed, ''),
  ];
}

function clause(beginning: string, names: readonly string[], end: string): string[] {
  if (names.length === 0) return [];
  const shown = names.toSorted().slice(0, MOST_NAMES);
  const more = names.length - shown.length;
  const list = `${shown.join(', ')}${more === 0 ? '' : ` and ${more} more`}`;
  return [`${beginning}${names.length === 1 ? '' : 's'} ${list}${end}`];
}

function isPath(value: unknown): value is string {
  return typeof value === 'string' && value.startsWith('/');
}

/** PM2 puts the instance's number into the names of log files that are not merged. */
function withoutNumber(file: string): string {
  return file.replace(/-\d+(\.log)$/, '$1');
}
