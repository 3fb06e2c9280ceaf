/** Why an instance ended by its own fault: from its error, where it left one, and from how it ended. */
import type { Diagnosis, ExitFacts } from './facts.js';
import { seconds, subjectName } from './words.js';

/** So many ends in a row without having served: the next start will not fare better. */
const SETTLES_AFTER = 2;

type Finding = Pick<Diagnosis, 'code' | 'what' | 'advice'>;

export function diagnoseExit(facts: ExitFacts): Diagnosis {
  const { service, instance, log, times } = facts;
  return { service, instance, log, settled: times >= SETTLES_AFTER, ...find(facts) };
}

function find(facts: ExitFacts): Finding {
  const { error, exitCode, signal } = facts;
  if (error !== null) {
    return (
      portProblem(facts, error.headline) ??
      pathProblem(facts, error.headline) ??
      missingModule(facts, error.headline) ??
      syntaxError(facts, error.headline) ?? {
        code: 'crashed',
        what: `${ended(facts)}: ${error.headline}${at(facts)}.`,
        advice: 'Mend what its log says, then it is started again.',
      }
    );
  }
  if (signal === null && exitCode === 0) return endedByItself(facts);
  return {
    code: 'crashed',
    what: `${ended(facts)} and left no error in its log.`,
    advice: unseen(facts),
  };
}

function endedByItself(facts: ExitFacts): Finding {
  // A process that PM2 runs in cluster mode leaves with 0 after an uncaught error, too.
  const isDoubtful = facts.mode === 'cluster' && !facts.hasAgent;
  return {
    code: 'ended',
    what: `${ended(facts)}, without an error: ${facts.instance.port === null ? 'it had nothing left to do' : 'it did not stay to listen on its port'}.`,
    advice: isDoubtful ? unseen(facts) : 'A service keeps running: let it listen on process.env.PORT.',
  };
}

/** PM2 loses the error of a process in cluster mode; with an agent it is kept. */
function unseen({ mode, hasAgent }: ExitFacts): string {
  if (mode === 'cluster' && !hasAgent) {
    return 'PM2 loses what a process in cluster mode says last; run its script with `node`, or give it the agent (withAgent in the ecosystem file).';
  }
  return 'Run its script with `node` to see what it says.';
}

function portProblem(facts: ExitFacts, headline: string): Finding | null {
  const { instance, holder, service } = facts;
  const [, code, found] = /\blisten (EADDRINUSE|EACCES)\b.*?[: ](\d+)\s*$/.exec(headline) ?? [];
  if (code === undefined) return null;
  const port = Number(found);
  const isOwn = port === instance.port;
  const usePort = `Let it listen on process.env.PORT, which is ${instance.port ?? 'not set'} here: every instance gets a port of its own.`;
  if (code === 'EACCES') {
    return {
      code: 'port-forbidden',
      what: `${ended(facts)}: it may not listen on port ${port} (EACCES).`,
      advice: isOwn ? `Give ${service} a port from 1024 up.` : usePort,
    };
  }
  const by = holder === null ? '' : ` by ${holder.by}`;
  return {
    code: 'port-taken',
    what: `${ended(facts)}: port ${port} is taken${by} (EADDRINUSE)${isOwn ? '' : `; it was given ${instance.port ?? 'none'}`}.`,
    advice: isOwn ? `End what holds port ${port}, or give ${service} other ports.` : usePort,
  };
}

/** A Unix socket that another instance has, or that it may not create. */
function pathProblem(facts: ExitFacts, headline: string): Finding | null {
  const [, code, path] = /\blisten (E[A-Z]+)\b.*? (\/\S+)\s*$/.exec(headline) ?? [];
  if (code === undefined || path === undefined) return null;
  return {
    code: 'unix-socket',
    what: `${ended(facts)}: it could not listen on the Unix socket ${path} (${code}).`,
    advice: `Holdfast asks and balances ports only. Let it listen on process.env.PORT, which is ${facts.instance.port ?? 'not set'} here.`,
  };
}

function missingModule(facts: ExitFacts, headline: string): Finding | null {
  const [, kind, module] = /Cannot find (module|package) '([^']+)'/.exec(headline) ?? [];
  if (module === undefined) return null;
  const isFile = /^(?:\.{0,2}\/|file:)/.test(module);
  const from = /imported from (\S+)/.exec(headline)?.[1];
  return {
    code: 'module-missing',
    what: `${ended(facts)}: it cannot find ${isFile ? 'the file' : `the ${kind ?? 'module'}`} ${module}${from === undefined ? at(facts) : `, imported from ${from}`}.`,
    advice: isFile
      ? 'Is the build complete, and the path right?'
      : `Install what it needs: \`npm ci\` in its folder, or \`npm install ${packageOf(module)}\`.`,
  };
}

function packageOf(module: string): string {
  return module.split('/', module.startsWith('@') ? 2 : 1).join('/');
}

function syntaxError(facts: ExitFacts, headline: string): Finding | null {
  if (!headline.startsWith('SyntaxError')) return null;
  return {
    code: 'syntax-error',
    what: `${ended(facts)}: ${headline}${at(facts)}.`,
    advice: '`node --check` on that file shows the place.',
  };
}

function at({ error }: ExitFacts): string {
  return error?.at == null ? '' : ` (${error.at})`;
}

function ended(facts: ExitFacts): string {
  const { exitCode, signal, ageMs } = facts;
  const how = signal ?? `exit code ${exitCode ?? 'unknown'}`;
  return `${subjectName(facts)} ended ${seconds(ageMs)} after its start with ${how}`;
}

/** PM2 refuses to start one at all. */
export function diagnoseRefusedStart(service: string, problem: string): Diagnosis {
  return {
    code: 'cannot-start',
    service,
    instance: null,
    what: `${service} cannot be started: ${problem}`,
    advice: 'Check its script, cwd and interpreter in the ecosystem file.',
    settled: true,
    log: null,
  };
}
