/** `balancer`: the gateway alone, in the foreground and without PM2. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { HoldfastError } from '../../domain/errors.js';
import { packageFolder } from '../../installation.js';
import { parse, type Command } from '../command.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export const balancer: Command = {
  summary: 'run the gateway alone in the foreground, without PM2 (npm run balancer)',
  usage: `Usage: npx holdfast balancer

Runs the gateway in this terminal, without PM2 and without a supervisor, until Ctrl-C. Where its upstreams are is said by
settings such as BACKEND_HOSTS; config.example.yml explains them.

    BACKEND_HOSTS=127.0.0.1:8080,127.0.0.1:8081 npx holdfast balancer

  --help   this text`,

  async run(args) {
    parse(args, {});
    const gateway = spawn(gatewayNode(), [join(packageFolder, 'backend/dist/gateway.js')], {
      stdio: 'inherit',
    });
    // A terminal gives Ctrl-C to both processes, and a second one would end the gateway at once: it is not handed on there.
    const isGivenToBoth = (signal: NodeJS.Signals): boolean => signal === 'SIGINT' && process.stdin.isTTY;
    for (const signal of SIGNALS) {
      process.on(signal, () => {
        if (!isGivenToBoth(signal)) gateway.kill(signal);
      });
    }
    const [code, signal] = (await once(gateway, 'exit')) as [number | null, NodeJS.Signals | null];
    return code ?? (signal === null ? 1 : 0);
  },
};

/** As for `npm run balancer`. @throws HoldfastError where GATEWAY_NODE can't run it. */
function gatewayNode(): string {
  const asked = spawnSync(process.execPath, [join(packageFolder, 'backend/gatewayNode.cjs')], {
    encoding: 'utf8',
  });
  if (asked.status !== 0) throw new HoldfastError('gateway.node-unfit', asked.stderr.trim());
  return asked.stdout.trim();
}
