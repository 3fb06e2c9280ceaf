/**
 * `npm run cluster`: the instances of one service alone, in this terminal, without PM2 and without a supervisor. For a
 * gateway in another terminal (`npm run balancer`), or for none.
 */
import { describePortHolder } from '../../adapters/net/portHolder.js';
import { unusable, type AppDefinition, type DefinedApp } from '../../adapters/pm2/appDefinition.js';
import { unusedSettings } from '../../config/unused.js';
import { HoldfastError, messageOf } from '../../domain/errors.js';
import { acquirePidLock } from '../../lib/pidLock.js';
import { parse, type Command } from '../command.js';
import type { CliContext } from '../context.js';
import { isService, readEcosystem } from '../ecosystemFile.js';
import { gatewayUrl, isAnswered } from '../gatewayCheck.js';
import { InstanceGroup, type InstancePlan } from '../instanceGroup.js';
import { npm } from '../invocation.js';
import { clusterLock } from '../manual.js';
import { isPortFree } from '../portCheck.js';
import { readableLine } from '../readableLine.js';
import type { Terminal } from '../terminal.js';

const LAST_PORT = 65_535;
/** A second signal within this time is the same one twice: npm passes on a Ctrl-C that the terminal sent, too. */
const SAME_SIGNAL_MS = 500;
/** What an instance must not take for a supervisor's: nothing supervises it. */
const AGENT_SOCKET = 'HOLDFAST_AGENT_SOCKET';

export const cluster: Command = {
  summary: 'run instances of one service in this terminal, without PM2 (npm run cluster)',
  usage: `Usage: npm run cluster

Runs instances of one service in this terminal, without PM2 and without a supervisor, until Ctrl-C: of the first service of
the ecosystem file, which HA_ECOSYSTEM_FILE names (DEFAULT_SERVICE names another service). Unset: the sample's backend.
Each instance has a port of its own. One that ends by itself is started again after a pause.

  --help   this text

Settings, in the environment or in .env:
  INSTANCE_COUNT   how many instances (default 5)
  START_PORT       the first one's port (default: the port that the ecosystem file gives the service; the sample's is 13004)

  INSTANCE_COUNT=3 START_PORT=14004 npm run cluster

\`npm run balancer\` in another terminal puts all of them behind one address.`,

  async run(args, context) {
    parse(args, {});
    for (const unused of unusedSettings(context.config, 'cluster', false)) context.terminal.warning(unused);
    const service = await chooseService(context);
    const plan = planFor(service.definition, context);
    await requirePorts(plan, service.name);
    const release = await lock(context, plan.ports);
    try {
      return await new Session(service, plan, context).run();
    } finally {
      release();
    }
  },
};

type Service = Pick<DefinedApp, 'name' | 'page'> & { readonly definition: AppDefinition };

/** @throws HoldfastError `cluster.no-service`, `cluster.not-node`, and what readEcosystem throws. */
async function chooseService({ config }: CliContext): Promise<Service> {
  const { ecosystemFile: file, defaultService } = config;
  const services = (await readEcosystem(config, 'cluster')).filter(isService);
  const chosen = services.find(({ name }) => defaultService === null || name === defaultService);
  if (chosen === undefined) {
    const wanted = defaultService === null ? 'no service' : `no service ${defaultService} (DEFAULT_SERVICE)`;
    throw new HoldfastError('cluster.no-service', `${file} defines ${wanted}.`);
  }
  const { name, page, definition } = chosen;
  if (definition === null) throw unusable(chosen, file);
  if (!definition.interpreter.endsWith('node')) {
    throw new HoldfastError(
      'cluster.not-node',
      `${name} is run by ${definition.interpreter}; this command runs Node.js services only. PM2 runs it: npx holdfast up --services-only`,
    );
  }
  return { name, page, definition };
}

/** @throws HoldfastError `cluster.no-port` when the ports are not known or there are not that many. */
function planFor(service: AppDefinition, { config }: CliContext): InstancePlan {
  const { instanceCount: count, serviceDefaults } = config;
  const first = config.startPort ?? service.port;
  if (first === null) {
    throw new HoldfastError(
      'cluster.no-port',
      `The ecosystem file gives ${service.name} no PORT. Set START_PORT, the first of its ports.`,
    );
  }
  if (first + count - 1 > LAST_PORT) {
    throw new HoldfastError(
      'cluster.no-port',
      `${count} instances (INSTANCE_COUNT) from port ${first} (START_PORT) go beyond port ${LAST_PORT}, the last one. Set START_PORT to ${LAST_PORT + 1 - count} or below.`,
    );
  }
  const { [AGENT_SOCKET]: _unused, ...env } = service.env;
  const { script, cwd, args, nodeArgs, instanceVar } = service;
  return {
    script,
    cwd,
    args,
    nodeArgs,
    env,
    instanceVar,
    ports: Array.from({ length: count }, (_, index) => first + index),
    startTimeoutMs: serviceDefaults.startTimeout,
    killTimeoutMs: service.killTimeoutMs ?? serviceDefaults.killTimeout,
  };
}

/** @throws HoldfastError `port.taken` naming every taken one and, where known, its holder. */
async function requirePorts({ ports }: InstancePlan, service: string): Promise<void> {
  const taken: string[] = [];
  for (const port of ports) {
    if (await isPortFree(port)) continue;
    const holder = await describePortHolder(port);
    taken.push(`Port ${port}, which ${service} needs, is taken${holder === null ? '' : ` by ${holder}`}.`);
  }
  if (taken.length === 0) return;
  const advice = `Nothing was started. End what holds ${taken.length === 1 ? 'it' : 'them'} (npm stop ends what Holdfast runs here), or choose other ports: START_PORT=14004 npm run cluster`;
  throw new HoldfastError('port.taken', [...taken, advice].join('\n'));
}

/** By it `npm stop` finds this process. */
async function lock({ config: { dataDir } }: CliContext, ports: readonly number[]): Promise<() => void> {
  try {
    return (await acquirePidLock(clusterLock(dataDir, ports[0] ?? 0))) ?? (() => undefined);
  } catch (error) {
    throw new HoldfastError(
      'folder.unwritable',
      `The data folder ${dataDir} cannot be written: ${messageOf(error)}. Correct its owner or permissions, or choose another with HA_DATA_DIR.`,
      { cause: error },
    );
  }
}

/** From the first start to the end of the last instance. */
class Session {
  readonly #service: string;
  /** Where a request is worth a try. */
  readonly #page: string;
  readonly #plan: InstancePlan;
  readonly #context: CliContext;
  readonly #terminal: Terminal;
  readonly #group: InstanceGroup;
  #stoppedAtMs: number | null = null;
  #end: (code: number) => void = () => undefined;

  constructor({ name, page }: Service, plan: InstancePlan, context: CliContext) {
    this.#service = name;
    this.#page = page ?? '/';
    this.#plan = plan;
    this.#context = context;
    this.#terminal = context.terminal;
    this.#group = new InstanceGroup(plan, {
      printed: (port, line) => this.#terminal.line(`${port} | ${readableLine(line)}`),
      serves: (port, pid) => this.#terminal.done(`${port} serves again (pid ${pid})`),
      ended: (port, how, pauseMs) => {
        this.#terminal.problem(
          `The instance on port ${port} ${how}; another one starts in ${pauseMs / 1_000} s.`,
        );
      },
    });
  }

  /** @returns the exit code. */
  async run(): Promise<number> {
    const ended = new Promise<number>((resolve) => {
      this.#end = resolve;
    });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => this.#onSignal());
    const { ports } = this.#plan;
    this.#terminal.progress(`starting ${count(ports.length)} of ${this.#service}`);
    const { serving, problems } = await this.#group.start();
    if (this.#stoppedAtMs !== null) return ended;
    if (serving.length === 0) {
      this.#group.kill();
      this.#terminal.problem(
        [`None of the ${count(ports.length)} serves; what they said is above.`, ...problems].join('\n'),
      );
      return 1;
    }
    for (const { port, pid } of serving) {
      this.#terminal.done(`${this.#service} serves on http://127.0.0.1:${port}/ (pid ${pid})`);
    }
    for (const problem of problems) this.#terminal.problem(problem);
    for (const line of await this.#advice()) this.#terminal.line(line);
    return ended;
  }

  #onSignal(): void {
    const nowMs = performance.now();
    if (this.#stoppedAtMs !== null) {
      if (nowMs - this.#stoppedAtMs < SAME_SIGNAL_MS) return;
      this.#group.kill();
      this.#end(1);
      return;
    }
    this.#stoppedAtMs = nowMs;
    const seconds = this.#plan.killTimeoutMs / 1_000;
    this.#terminal.line(
      `Stopping: requests under way may take up to ${seconds} s. Ctrl-C again ends it at once.`,
    );
    void this.#group.stop().then(() => {
      this.#terminal.done(`Stopped ${this.#service} (${count(this.#plan.ports.length)}).`);
      this.#end(0);
    });
  }

  async #advice(): Promise<readonly string[]> {
    const url = gatewayUrl(this.#context);
    const { ports } = this.#plan;
    const [first = 0] = ports;
    const next =
      (await isAnswered(`${url}/healthz`)) || (await isAnswered(`${url}/health`))
        ? [
            `Try next:  curl ${url}${this.#page}    through the gateway that runs there; ${url}/lb shows its traffic`,
          ]
        : [
            `Try next:  curl http://127.0.0.1:${first}/health`,
            `           ${npm(this.#context, 'run balancer', 'balancer')}, in another terminal: all of them behind ${url}`,
          ];
    return ['', ...next, `Stop it:   Ctrl-C, or ${npm(this.#context, 'stop', 'down')} in another terminal`];
  }
}

function count(instances: number): string {
  return `${instances} instance${instances === 1 ? '' : 's'}`;
}
