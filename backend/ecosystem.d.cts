/** Types of `holdfast/ecosystem`, which ecosystem.cjs is. */

/** Variables of the shell or of `.env` that an ecosystem file itself reads for its applications. */
export interface Variables {
  /** Their names, with `NAME_FILE` for each secret. */
  readonly names: RegExp;
  /** Which of them are secret, without `_FILE`: PM2 gets the path of a private file. Default: none. */
  readonly secrets?: readonly string[];
}

/** An application as PM2 takes it. */
export type App = Readonly<Record<string, unknown>>;

interface Deployment {
  /** Path of the ecosystem file itself: `__filename`. */
  readonly file: string;
  /** First part of the names of PM2's log files. Default `pm2`. */
  readonly logPrefix?: string;
}

/** The supervisor, which looks after the other applications of the file. */
export function defineSupervisor(
  deployment: Deployment & {
    /** Whether it may change the number of instances by load. Default true. */
    readonly autoscale?: boolean;
    /** Kept for when the supervisor evaluates the file again. Default: none. */
    readonly variables?: Variables;
  },
): App;

/** The gateway: all requests on one port (`BALANCER_PORT`, 13003), sent to instances that serve. */
export function defineGateway(
  deployment: Deployment & {
    /** As `LB_ROUTES`: `/=shop,/ui=web`. Default: the first service of the file serves all. */
    readonly routes?: string;
  },
): App;

/** `app` with the agent in it, which reports hangs, load and memory from inside. Node must run it. */
export function withAgent<A extends App>(app: A): A & App;
