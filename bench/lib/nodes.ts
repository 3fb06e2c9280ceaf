/** Which Node what is measured runs on. */
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { rootFolder } from './paths.js';

export interface MeasuredNode {
  /** Full path. */
  readonly program: string;
  /** As it says itself: `v24.21.0`. */
  readonly version: string;
}

/** scripts/nodes.mjs, which `npm run test:nodes` uses as well. */
interface Nodes {
  nodeOf(version: string): MeasuredNode;
  versionOf(program: string): string | null;
}

/**
 * @param wanted a version, which is installed if need be (`24`, `24.21.0`), or the path of a program; undefined: the Node
 *   that runs the bench.
 * @throws with what to do.
 */
export async function chooseNode(wanted: string | undefined): Promise<MeasuredNode> {
  if (wanted === undefined) return { program: process.execPath, version: process.version };
  const nodes = (await import(pathToFileURL(join(rootFolder, 'scripts/nodes.mjs')).href)) as Nodes;
  if (/^\d+(?:\.\d+)*$/.test(wanted)) return nodes.nodeOf(wanted);
  const program = resolve(wanted);
  const version = nodes.versionOf(program);
  if (version === null) throw new Error(`${program} is no Node that runs here.`);
  return { program, version };
}

/** `24` of `v24.21.0`. */
export function majorOf({ version }: MeasuredNode): string {
  return /^v(\d+)/.exec(version)?.[1] ?? version;
}
