/**
 * load-balancer-config.json is a source of upstreams without being named: where it lies in the project root and no setting
 * chooses another source. It goes before the supervisor, also in a gateway that PM2 started, because a person has put it
 * there; LB_ROUTES, which names services of the supervisor, goes before it.
 *
 * A gateway that is alone, on the usual ports, takes the file over as soon as there is a valid one. One that has a
 * supervisor goes on with it, and says that its next start will take the file.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from './config/load.js';
import { readLoadBalancerFile } from './config/loadBalancerFile.js';
import { FileWatcher, type FileContent } from './lib/fileWatcher.js';

const NAME = 'load-balancer-config.json';

/** Where the file counts without being named; null: another source is set, or it is the source already. */
function unnamedFile({ gateway, root }: Config): string | null {
  return gateway.source.kind === 'pm2' && gateway.routes === null ? join(root, NAME) : null;
}

/** With that file as the source. */
export function withFile(config: Config, file: string): Config {
  return { ...config, gateway: { ...config.gateway, source: { kind: 'file', file, found: true } } };
}

/** `config` with the file as its source where it is found. */
export function withFoundFile(config: Config): Config {
  const file = unnamedFile(config);
  return file !== null && existsSync(file) ? withFile(config, file) : config;
}

export interface FoundFileOptions {
  readonly config: () => Config;
  /** No supervisor has answered, and PM2 did not start this gateway: the usual ports are its upstreams. */
  readonly isAlone: () => boolean;
  /** The file is the source from now on. */
  readonly onTaken: (file: string) => void;
  /** What is wrong with the file, or stands against it; null: nothing does any more. */
  readonly onProblem: (problem: string | null) => void;
}

/** Watches for the file where it is not there at the start. @returns lets go of it. */
export function watchForFile(options: FoundFileOptions): () => void {
  const { config, isAlone, onTaken, onProblem } = options;
  const file = unnamedFile(config());
  if (file === null) return () => undefined;
  const watcher = new FileWatcher({
    files: [file],
    onChange: ([content = null]) => {
      const problem = problemOf(file, content, options);
      if (content === null || problem !== null) return onProblem(problem);
      if (!isAlone()) {
        return onProblem(
          `${file} lies in the project root, but the upstreams have come from the supervisor since this gateway started. Restart the gateway to take them from the file, or remove it.`,
        );
      }
      watcher.close();
      onProblem(null);
      return onTaken(file);
    },
  });
  return () => watcher.close();
}

function problemOf(file: string, content: FileContent, { config }: FoundFileOptions): string | null {
  if (content === null) return null;
  if (typeof content !== 'string') return `${file} can't be read: ${content.problem}`;
  const reading = readLoadBalancerFile(content, config().serviceDefaults);
  return reading.ok ? null : `${file} is not taken over: ${reading.problems.join('; ')}`;
}
