/** `status`: what runs, how loaded it is, and what was decided last. */
import type { LoadBalancerView, StatusView } from '../../domain/views.js';
import { parse, type Command } from '../command.js';
import type { CliContext } from '../context.js';
import { decisionLines, eventLine, headLines, instanceLines, serviceLines } from '../render.js';

const DECISIONS = 5;
const EVENTS = 8;

export const status: Command = {
  summary: 'services, instances, load, last decisions and events',
  usage: `Usage: scripts/holdfast.sh status [--json]

  --json   the supervisor's own answer, for machines
  --help   this text`,

  async run(args, context) {
    const values = parse(args, { json: { type: 'boolean', default: false } });
    const { data } = await context.api.get<StatusView>('/api/ha/status');
    if (values.json) context.terminal.line(JSON.stringify(data, null, 2));
    else await printStatus(context, data);
    return 0;
  },
};

/** Everything at a glance. */
export async function printStatus({ api, terminal }: CliContext, view: StatusView): Promise<void> {
  const { data: balancer } = await api.get<LoadBalancerView>('/api/ha/load-balancer');
  const now = Date.now();
  const heading = (text: string): string => `\n${terminal.paint('bold', text)}`;
  const decisions = decisionLines(balancer, DECISIONS);
  const events = view.lastEvents.slice(-EVENTS).map(eventLine);
  const lines = [
    ...headLines(terminal, view, now),
    ...serviceLines(terminal, view.services),
    '',
    ...instanceLines(view.services, now),
    ...(decisions.length === 0 ? [] : [heading('Last decisions'), ...decisions]),
    ...(events.length === 0 ? [] : [heading('Last events'), ...events]),
  ];
  for (const line of lines) terminal.line(line);
}
