/**
 * The gateway's primary: everything that is slow, optional or clever, so that workers only pick and forward. Wires
 * membership, active checks, snapshots, workers and the feed to the supervisor together; decides nothing itself.
 *
 *   sources ──▶ membership ──▶ publisher ──▶ fleet (workers) ──▶ stats ──▶ ledger ──▶ reporter ──▶ supervisor
 *                  ▲    └────▶ last good pool (disk)                          └─────▶ pages
 *               checker
 */
import type { ListNotes } from '../../ports.js';
import { upstreamKey } from '../../domain/statistics/trafficLedger.js';
import type { GatewaySnapshot } from '../../domain/upstreams/pool.js';
import { scrubbedLine } from '../accessLog/scrubbedLine.js';
import type { GatewayFacts, SourceFact, UpstreamFact } from '../pages/facts.js';
import { GatewayMonitor } from '../pages/monitor.js';
import { renderPage } from '../pages/primaryPages.js';
import type { UpstreamEdits } from '../../domain/upstreams/upstreamEdits.js';
import { Checker } from './checker.js';
import { EditedPools, readEdits } from './editedPools.js';
import { Fleet } from './fleet.js';
import { byPool, LastGoodPool } from './lastGoodPool.js';
import type { RememberedPool } from './lastGoodPool.js';
import type { StartOutcome } from './listenProblem.js';
import { Membership } from './membership.js';
import type { StopTimes } from './messages.js';
import type { PrimaryOptions, Source } from './primaryOptions.js';
import { Publisher } from './publisher.js';
import type { RoutingSettings } from './publisher.js';
import { StandIn } from './standIn.js';
import { Reporter } from './reporter.js';
import { TlsKeeper } from './tlsKeeper.js';
import { troubleText } from './trouble.js';
import { UpstreamCalls } from './upstreamCalls.js';

const NOT_YET = 'The source of the upstreams has not answered yet; try again in a moment.';

interface SourceState {
  readonly source: Source;
  readonly standIn: StandIn | null;
  state: SourceFact['state'];
  detail: string;
  notes: ListNotes;
}

const NO_NOTES: ListNotes = { reason: null, faults: new Map() };

export class Primary<Settings> {
  readonly #options: PrimaryOptions<Settings>;
  readonly #monitor: GatewayMonitor;
  readonly #startedAtMs: number;
  readonly #checker: Checker;
  readonly #membership: Membership;
  readonly #edited: EditedPools;
  readonly #calls: UpstreamCalls;
  readonly #publisher: Publisher;
  readonly #fleet: Fleet<Settings>;
  readonly #lastGood: LastGoodPool;
  readonly #reporter: Reporter | null;
  readonly #tls: TlsKeeper | null;
  #sources: readonly SourceState[] = [];
  #problems: readonly string[] = [];
  /** Keys of upstreams that finish what they have. */
  #draining: readonly string[] = [];

  private constructor(
    options: PrimaryOptions<Settings>,
    remembered: readonly RememberedPool[],
    edits: ReadonlyMap<string, UpstreamEdits>,
  ) {
    this.#options = options;
    const { clock, random, prober, logger, store, checkOf, routing, sourceOf } = options;
    this.#startedAtMs = clock.wallMs();
    this.#monitor = new GatewayMonitor({ clock, logger, store: options.dayStore, facts: () => this.facts() });
    this.#checker = new Checker({
      clock,
      random,
      prober,
      onChange: (id, fit, detail) => this.#onChecked(id, fit, detail),
      onDetail: () => this.#publisher.touch(),
    });
    this.#membership = new Membership({
      clock,
      checkOf,
      checker: this.#checker,
      onChange: () => this.#onMembership(),
    });
    this.#edited = new EditedPools({ store: options.editStore, edits, membership: this.#membership });
    this.#publisher = new Publisher({
      routing,
      rows: (pool) => this.#membership.rows(pool),
      troubleOf: (pool) =>
        troubleText(
          this.#sources.filter(
            ({ source, standIn }) => source.pool === pool && (standIn?.fact ?? null) === null,
          ),
          this.#membership.rows(pool).map(({ id }) => ({ id, check: this.#checker.lastCheck(id) })),
        ),
      onSnapshot: (snapshot) => this.#onSnapshot(snapshot),
    });
    this.#lastGood = new LastGoodPool({
      store,
      clock,
      logger,
      capture: () => byPool(this.#membership.announced()),
    });
    this.#tls = this.#createTlsKeeper();
    this.#calls = this.#createCalls();
    this.#fleet = this.#createFleet();
    this.#reporter = this.#createReporter();
    this.#sources = routing.pools.map(({ name }) => this.#stateOf(sourceOf(name)));
    for (const { pool, source, members } of remembered) {
      const isStillMeant = this.#sources.some(({ source: own }) => own.name === source && own.pool === pool);
      // They were good when they were last seen, and nobody can be asked before the sources answer.
      if (isStillMeant) this.#membership.announce({ pool, source, members, verified: true });
    }
  }

  /** Reads what was remembered; nothing runs until `start`. */
  static async create<Settings>(options: PrimaryOptions<Settings>): Promise<Primary<Settings>> {
    const { store, clock, logger } = options;
    const reader = new LastGoodPool({ store, clock, logger, capture: () => [] });
    return new Primary(options, await reader.load(), await readEdits(options.editStore, logger));
  }

  /** Starts sources and workers. Resolves when a worker listens, or with the reason why none can. */
  async start(): Promise<StartOutcome> {
    const problem = (await this.#tls?.start()) ?? null;
    if (problem !== null) return { ok: false, code: 'tls.certificates', message: problem };
    await this.#monitor.start();
    for (const entry of this.#sources) this.#follow(entry);
    const outcome = await this.#fleet.start();
    if (outcome.ok) this.#reporter?.start();
    return outcome;
  }

  /**
   * Requests under way finish, upgraded connections are closed over a window, then the workers end.
   * @param times null: the workers end at once, whatever is under way, and nothing else is put in order.
   */
  async stop(times: StopTimes | null): Promise<void> {
    if (times === null) return this.#fleet.stop(null);
    // First the supervisor: nobody is to wait for our word on a draining instance.
    const goodbye = this.#reporter?.close();
    // Its workers finish requests for up to half a minute: meanwhile they go on to be told which upstreams are gone.
    await this.#fleet.stop(times);
    await Promise.all(this.#sources.map(({ source }) => source.discovery.close()));
    this.#checker.close();
    this.#tls?.close();
    await Promise.all([this.#lastGood.close(), this.#monitor.stop(), goodbye]);
  }

  /** New settings of the pools, checks (`checkOf` says) and workers; upstreams that stay keep everything. */
  async reconfigure(change: {
    readonly routing: RoutingSettings;
    /** null: workers go on as they are. */
    readonly workerSettings: Settings | null;
  }): Promise<void> {
    const pools = new Set(change.routing.pools.map(({ name }) => name));
    const [staying, leaving] = partition(this.#sources, ({ source }) => pools.has(source.pool));
    const known = new Set(staying.map(({ source }) => source.pool));
    const coming = [...pools]
      .filter((pool) => !known.has(pool))
      .map((pool) => this.#stateOf(this.#options.sourceOf(pool)));
    this.#sources = [...staying, ...coming];
    this.#membership.reconfigure(pools);
    this.#publisher.reconfigure(change.routing);
    for (const entry of coming) this.#follow(entry);
    // At once, not after the sources have closed: of two changes the later one is to be the last that workers are given.
    const rolled = change.workerSettings === null ? null : this.#fleet.roll(change.workerSettings);
    await Promise.all([...leaving.map(({ source }) => source.discovery.close()), rolled]);
  }

  /** What is wrong until somebody acts, a sentence each; shown on /lb. Replaces what was reported before. */
  report(problems: readonly string[]): void {
    this.#problems = problems;
  }

  get workersServing(): number {
    return this.#fleet.serving;
  }

  facts(): GatewayFacts {
    const from = this.#membership.sources();
    const upstreams = new Map<string, UpstreamFact>();
    const kept = this.#membership.kept();
    const faults = new Map(this.#sources.flatMap(({ notes }) => [...notes.faults]));
    for (const [id, source] of from) {
      const fault = faults.get(id) ?? null;
      upstreams.set(id, { source, kept: kept.has(id), fault, lastCheck: this.#checker.lastCheck(id) });
    }
    return {
      version: this.#options.version,
      startedAtMs: this.#startedAtMs,
      snapshot: this.#publisher.current,
      workers: this.#fleet.facts(),
      workerRestarts: this.#fleet.restarts,
      upstreams,
      sources: this.#sources.map(
        ({ source: { name, pool }, standIn, state, detail }) =>
          standIn?.fact ?? { name, pool, state, detail },
      ),
      problems: [...this.#problems, ...(this.#tls?.problems ?? [])],
      certificates: this.#tls?.facts ?? [],
      accessLogDropped: this.#options.accessLog.dropped(),
    };
  }

  #createFleet(): Fleet<Settings> {
    const { clock, random, logger, workers } = this.#options;
    return new Fleet({
      clock,
      random,
      logger,
      size: workers.count,
      listen: workers.listen,
      settings: workers.settings,
      stop: workers.stop,
      snapshot: this.#publisher.current,
      tls: () => this.#tls?.material ?? null,
      spawn: workers.spawn,
      onStats: (workerId, stats) => this.#monitor.report(workerId, stats),
      onLog: (lines) => {
        for (const line of lines) this.#options.accessLog.write(scrubbedLine(line));
      },
      onGone: (workerId) => this.#monitor.workerGone(workerId),
      onAsk: (path) => renderPage(path, this.#monitor),
      onCall: (path, body) => this.#calls.answer(path, body),
      onWaiting: this.#options.onPortTaken,
      onProgress: () => this.#onProgress(),
    });
  }

  #createCalls(): UpstreamCalls {
    const { clock, isSelf } = this.#options;
    return new UpstreamCalls({
      clock,
      isSelf,
      pools: this.#edited,
      whyFixed: () => this.#sources.map(({ source }) => source.fixed).find((why) => why !== null) ?? NOT_YET,
      rows: (pool) => this.#membership.rows(pool),
      inFlight: (pool, id) => this.#monitor.ledger.gauges(pool, id).inFlight,
      isDrained: (key) => this.#fleet.isDrained(key),
    });
  }

  #createTlsKeeper(): TlsKeeper | null {
    const { clock, logger, tls } = this.#options;
    if (tls === null) return null;
    return new TlsKeeper({
      clock,
      logger,
      ...tls,
      onMaterial: (material) => this.#fleet.publishTls(material),
    });
  }

  #createReporter(): Reporter | null {
    const { clock, logger, link, name } = this.#options;
    if (link === null) return null;
    return new Reporter({
      clock,
      logger,
      link,
      gateway: name,
      ledger: this.#monitor.ledger,
      snapshot: () => this.#publisher.current,
      workers: () => this.#fleet.serving,
      isDrained: (key) => this.#fleet.isDrained(key),
    });
  }

  #stateOf(source: Source): SourceState {
    const { pool, standIn: plan } = source;
    const standIn = plan === null ? null : new StandIn(pool, plan, this.#edited, this.#options.logger);
    return { source, standIn, state: 'stale', detail: 'has not answered yet', notes: NO_NOTES };
  }

  #follow(entry: SourceState): void {
    const { name, pool, discovery, verified, fixed, whence } = entry.source;
    const membership = fixed === null ? this.#edited : this.#membership;
    discovery.start(
      (members, notes = NO_NOTES) => {
        const count = `${members.length} upstream${members.length === 1 ? '' : 's'}${whence}`;
        const detail = [count, pollingText(notes), notes.reason].filter((text) => text !== null).join('. ');
        const state = notes.polling === undefined ? 'live' : 'polling';
        if (state === 'polling' && entry.state !== 'polling')
          this.#options.logger.warn('a source of upstreams is polled', { source: name, pool, detail });
        else if (detail !== entry.detail)
          this.#options.logger.info('a source lists upstreams', { source: name, pool, detail });
        entry.state = state;
        entry.detail = detail;
        entry.notes = notes;
        membership.announce({ pool, source: name, members, verified });
        entry.standIn?.sourceAnswered();
      },
      (problem) => {
        entry.state = 'stale';
        entry.detail = problem;
        this.#publisher.touch();
        if (entry.standIn?.sourceFailed() === true) return;
        const what = 'a source of upstreams gives no answer; its last one is kept';
        this.#options.logger.warn(what, { source: name, pool, problem });
      },
      // After the snapshot without it, which is due in this very turn: nothing is to be sent there again.
      (id, news) => queueMicrotask(() => this.#fleet.tellOfProcess(id, news)),
    );
  }

  #onChecked(id: string, fit: boolean, detail: string): void {
    const { logger } = this.#options;
    if (fit) logger.info('an upstream passes its checks', { upstream: id });
    else logger.warn('an upstream fails its checks', { upstream: id, problem: detail });
    this.#membership.checked(id);
  }

  #onMembership(): void {
    this.#publisher.touch();
    this.#lastGood.touch();
  }

  #onSnapshot(snapshot: GatewaySnapshot): void {
    this.#draining = snapshot.pools.flatMap(({ name, upstreams }) =>
      upstreams.filter(({ state }) => state === 'draining').map(({ id }) => upstreamKey(name, id)),
    );
    this.#fleet.publish(snapshot);
    this.#monitor.look();
  }

  #onProgress(): void {
    const done = this.#draining.filter((key) => this.#fleet.isDrained(key));
    if (done.length === 0) return;
    this.#reporter?.now();
    this.#membership.drained(done);
  }
}

function pollingText({ polling }: ListNotes): string | null {
  if (polling === undefined) return null;
  return `It is asked every second, because there is no event stream of it: ${polling}`;
}

function partition<T>(
  items: readonly T[],
  belongs: (item: T) => boolean,
): readonly [readonly T[], readonly T[]] {
  return [items.filter(belongs), items.filter((item) => !belongs(item))];
}
