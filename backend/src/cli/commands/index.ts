/** Every command by its name; the list of `--help` and docs/reference/command-line.md follow from here. */
import type { Command } from '../command.js';
import { cluster } from './cluster.js';
import { deploy } from './deploy.js';
import { down } from './down.js';
import { health } from './health.js';
import { startHa } from './startHa.js';
import { status } from './status.js';
import { testHa } from './testHa.js';
import { up } from './up.js';

export const COMMANDS: Readonly<Record<string, Command>> = {
  up,
  down,
  status,
  health,
  'start-ha': startHa,
  'test-ha': testHa,
  deploy,
  cluster,
};
