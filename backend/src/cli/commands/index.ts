/**
 * Every command by its name, in the order of the help text, from which docs/reference/command-line.md follows. One file a
 * command; a new one is a line here.
 */
import type { Command } from '../command.js';
import { adopt } from './adopt.js';
import { balancer } from './balancer.js';
import { cluster } from './cluster.js';
import { deploy } from './deploy.js';
import { down } from './down.js';
import { events } from './events.js';
import { explain } from './explain.js';
import { failover } from './failover.js';
import { health } from './health.js';
import { logs } from './logs.js';
import { release } from './release.js';
import { reset } from './reset.js';
import { scale } from './scale.js';
import { startHa } from './startHa.js';
import { status } from './status.js';
import { stopHa } from './stopHa.js';
import { testHa } from './testHa.js';
import { up } from './up.js';

export const COMMANDS: Readonly<Record<string, Command>> = {
  up,
  down,
  status,
  health,
  explain,
  events,
  logs,
  scale,
  failover,
  deploy,
  reset,
  release,
  adopt,
  'start-ha': startHa,
  'stop-ha': stopHa,
  'test-ha': testHa,
  balancer,
  cluster,
};
