/**
 * `/status.html`: how the services fare, for everybody. It says what a user of a service can notice and nothing of
 * how it is run: no addresses, counts, versions or reasons.
 */
import {
  SLOT_MS,
  availabilityOf,
  conditionOfSlot,
  type Slot,
} from '../../domain/statistics/availabilitySlots.js';
import { overall, type Condition } from '../../domain/statistics/serviceCondition.js';
import { MARK, loadPageKind, renderDocument } from '../html/document.js';
import { html, type Html } from '../html/html.js';
import { inDuration, inPercent, inPlainName } from './words.js';

export interface PublicStatus {
  readonly wallMs: number;
  readonly services: readonly {
    readonly name: string;
    readonly condition: Condition;
    /** The last day, oldest first; null where nobody watched. */
    readonly slots: readonly (Slot | null)[];
  }[];
}

type Service = PublicStatus['services'][number];
type SlotCondition = Condition | 'unknown';

/** Slots that share one stroke of the bar: a quarter of an hour. */
const SLOTS_PER_BAR = 3;
const BAR_WIDTH = 6;
const BAR_GAP = 2;
const BAR_HEIGHT: Readonly<Record<SlotCondition, number>> = { up: 36, degraded: 24, down: 14, unknown: 3 };
const FULL_HEIGHT = 36;
const MOST_INCIDENTS = 3;

const HEADLINES: Readonly<Record<Condition, string>> = {
  up: 'Everything is working',
  degraded: 'Some things are not working as they should',
  down: 'Out of service',
};
const WORDS: Readonly<Record<Condition, string>> = {
  up: 'Working',
  degraded: 'Working, with limitations',
  down: 'Not available right now',
};
const INCIDENTS: Readonly<Record<'degraded' | 'down', string>> = {
  degraded: 'Impaired',
  down: 'Not available',
};

export const publicPage = loadPageKind('public', 'Service status', 5);

export function renderPublicPage(status: PublicStatus): string {
  const { services, wallMs } = status;
  const condition = overall(services.map((service) => service.condition));
  const headline = services.length === 0 ? 'Nothing is served here yet' : HEADLINES[condition];
  const at = new Date(wallMs);
  return renderDocument(
    publicPage,
    html`<div id="view">
        <header class="hero ${condition}">
          <p class="brand">${MARK}Service status</p>
          <h1><span class="shape ${condition}" aria-hidden="true"></span>${headline}</h1>
          <p class="muted">
            As of <time datetime="${at.toISOString()}">${at.toISOString().slice(11, 16)} UTC</time>. This page
            keeps itself up to date.
          </p>
        </header>
        <main>${services.map((service) => renderService(service))}</main>
      </div>
      <p class="notice" id="notice" role="status"></p>`,
  );
}

function renderService(service: Service): Html {
  const { name, condition, slots } = service;
  const availability = availabilityOf(slots);
  const incidents = incidentsOf(slots).slice(0, MOST_INCIDENTS);
  return html`<section class="panel service">
    <div class="row">
      <h2>${inPlainName(name)}</h2>
      <p class="badge ${condition}">
        <span class="shape ${condition}" aria-hidden="true"></span>${WORDS[condition]}
      </p>
    </div>
    ${renderBar(slots)}
    <p class="axis">
      <span>24 hours ago</span
      ><span
        >${availability === null ? 'No figures yet' : html`<strong>${inPercent(availability)}</strong> available`}</span
      ><span>now</span>
    </p>
    ${
      incidents.length === 0
        ? null
        : html`<ul class="incidents">
            ${incidents.map(renderIncident)}
          </ul>`
    }
  </section> `;
}

/** Height tells the same as colour does. */
function renderBar(slots: Service['slots']): Html {
  const bars = chunk(slots, SLOTS_PER_BAR).map(worstOf);
  const width = bars.length * (BAR_WIDTH + BAR_GAP) - BAR_GAP;
  const strokes = bars.map((condition, index) => {
    const height = BAR_HEIGHT[condition];
    return html`<rect
      class="${condition}"
      x="${index * (BAR_WIDTH + BAR_GAP)}"
      y="${FULL_HEIGHT - height}"
      width="${BAR_WIDTH}"
      height="${height}"
      rx="1.5"
    />`;
  });
  return html`<svg
    class="day"
    viewBox="0 0 ${width} ${FULL_HEIGHT}"
    preserveAspectRatio="none"
    role="img"
    aria-label="${describeDay(bars)}"
  >
    ${strokes}
  </svg>`;
}

function describeDay(bars: readonly SlotCondition[]): string {
  const hours = (condition: SlotCondition): number =>
    bars.filter((each) => each === condition).length * SLOTS_PER_BAR * SLOT_MS;
  const parts = (['up', 'degraded', 'down', 'unknown'] as const)
    .filter((condition) => hours(condition) > 0)
    .map((condition) => `${condition} ${inDuration(hours(condition))}`);
  return `The last 24 hours, in quarters of an hour: ${parts.join(', ')}`;
}

interface Incident {
  readonly condition: 'degraded' | 'down';
  readonly endedMsAgo: number;
  readonly lastedMs: number;
}

/** Stretches of slots that were not up, newest first. */
function incidentsOf(slots: Service['slots']): Incident[] {
  const found: Incident[] = [];
  let length = 0;
  let worst: Incident['condition'] = 'degraded';
  for (const [index, slot] of [...slots, null].entries()) {
    const condition = slot === null ? 'up' : conditionOfSlot(slot);
    if (condition !== 'up') {
      if (length === 0 || condition === 'down') worst = condition;
      length += 1;
    } else if (length > 0) {
      found.push({
        condition: worst,
        endedMsAgo: (slots.length - index) * SLOT_MS,
        lastedMs: length * SLOT_MS,
      });
      length = 0;
    }
  }
  return found.reverse();
}

function renderIncident({ condition, endedMsAgo, lastedMs }: Incident): Html {
  const when = endedMsAgo === 0 ? 'in the last minutes' : `${inDuration(endedMsAgo)} ago`;
  return html`<li>
    <span class="shape ${condition}" aria-hidden="true"></span>${INCIDENTS[condition]} ${when}, for up to
    ${inDuration(lastedMs)}
  </li>`;
}

function worstOf(slots: readonly (Slot | null)[]): SlotCondition {
  const conditions = new Set(slots.map((slot) => (slot === null ? 'unknown' : conditionOfSlot(slot))));
  const order: readonly SlotCondition[] = ['down', 'degraded', 'up'];
  return order.find((condition) => conditions.has(condition)) ?? 'unknown';
}

function chunk<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}
