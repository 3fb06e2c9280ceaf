/** `status`: what runs, how loaded it is, and what was decided last. */
import type { BlackBoxEntry } from '../../domain/blackBox/blackBox.js';
import { unprovenText } from '../../domain/failures/unprovenFiles.js';
import type { LoadBalancerView, StatusView } from '../../domain/views/controlPlane.js';
import { parse, type Command } from '../command.js';
import type { CliContext } from '../context.js';
import {
  blackBoxLines,
  decisionLines,
  diagnosisLines,
  eventLine,
  headLines,
  instanceLines,
  serviceLines,
} from '../render.js';

const DECISIONS = 5;
const EVENTS = 8;
const BLACK_BOXES = 3;

export const status: Command = {
  summary: 'services, instances, load, last decisions and events',
  usage: `Usage: npx holdfast status [--json]

Services, instances, load, the last decisions, failures and events.

    npx holdfast status

  --json   the supervisor's own answer, for machines
  --help   this text`,
  toleratesMistakes: true,

  async run(args, context) {
    const values = parse(args, { json: { type: 'boolean', default: false } });
    const { data } = await context.api.get<StatusView>('/api/ha/status');
    if (values.json) context.terminal.json(data);
    else await printStatus(context, data);
    return 0;
  },
};

/** Everything at a glance. */
export async function printStatus({ api, terminal }: CliContext, view: StatusView): Promise<void> {
  const { data: balancer } = await api.get<LoadBalancerView>('/api/ha/load-balancer');
  const { data: kept } = await api.get<{ blackBoxes: readonly BlackBoxEntry[] }>('/api/ha/blackbox');
  const now = Date.now();
  const heading = (text: string): string => `\n${terminal.paint('bold', text)}`;
  const decisions = decisionLines(balancer, DECISIONS);
  const boxes = blackBoxLines(kept.blackBoxes, BLACK_BOXES);
  const events = view.lastEvents.slice(-EVENTS).map(eventLine);
  const lines = [
    ...headLines(terminal, view, now),
    ...serviceLines(terminal, view.services),
    ...view.services.flatMap(({ diagnosis }) =>
      // A supervisor of before an update shows none.
      diagnosis ? ['', ...diagnosisLines(terminal, diagnosis)] : [],
    ),
    ...view.services.flatMap(({ name, unprovenFiles }) =>
      unprovenFiles === null ? [] : ['', unprovenText(name)],
    ),
    // A supervisor of before an update has none.
    ...view.services.flatMap(({ name, warnings = [], startWarnings = [] }) =>
      [...warnings, ...startWarnings].flatMap((warning) => ['', `${name}: ${warning}`]),
    ),
    '',
    ...instanceLines(view.services, now),
    ...(decisions.length === 0 ? [] : [heading('Last decisions'), ...decisions]),
    ...(boxes.length === 0 ? [] : [heading('Last failures (`explain SERVICE` says more)'), ...boxes]),
    ...(events.length === 0 ? [] : [heading('Last events'), ...events]),
  ];
  for (const line of lines) terminal.line(line);
}
