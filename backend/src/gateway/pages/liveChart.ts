/** Two minutes of traffic as a drawing: an area for all requests, a line for those that went wrong. */
import { html, type Html } from '../html/html.js';
import type { GatewayStatus } from './statusSchema.js';
import { inRate } from './words.js';

const WIDTH = 600;
const HEIGHT = 100;
const POINTS = 120;

export function renderChart({ requestsPerSecond, errorsPerSecond }: GatewayStatus['history']): Html {
  const highest = Math.max(0, ...requestsPerSecond);
  const top = roundUp(highest);
  const requests = lineOf(requestsPerSecond, top);
  const errors = Math.max(0, ...errorsPerSecond) > 0 ? lineOf(errorsPerSecond, top) : '';
  const firstX = xOf(0, requestsPerSecond.length);
  const area = requests === '' ? '' : `M${firstX} ${HEIGHT}L${requests}L${WIDTH} ${HEIGHT}Z`;
  const label = `Requests a second over the last two minutes: at most ${inRate(highest)}, now ${inRate(requestsPerSecond.at(-1) ?? 0)}`;
  return html`<figure class="panel chart">
    <figcaption>
      <span>Requests a second, last two minutes</span
      ><span class="legend"><span class="key requests"></span>all <span class="key errors"></span>5xx</span>
    </figcaption>
    <div class="plot">
      <span class="top muted">${inRate(top)}</span>
      <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${label}">
        <path class="grid" d="M0 0.5H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}" />
        <path class="area" d="${area}" />
        <path class="line" d="${requests === '' ? '' : `M${requests}`}" />
        <path class="errors" d="${errors === '' ? '' : `M${errors}`}" />
      </svg>
    </div>
  </figure>`;
}

/** The newest point is at the right edge, whatever is missing is missing on the left. */
function lineOf(values: readonly number[], top: number): string {
  return values
    .map((value, index) => {
      const y = HEIGHT - (value / top) * (HEIGHT - 4);
      return `${xOf(index, values.length)} ${Math.round(y * 10) / 10}`;
    })
    .join('L');
}

function xOf(index: number, length: number): number {
  return Math.round((WIDTH - ((length - 1 - index) * WIDTH) / (POINTS - 1)) * 10) / 10;
}

/** The next 1, 2 or 5 times a power of ten, so that the scale stays put while traffic wavers. */
function roundUp(value: number): number {
  if (value <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((bound) => bound >= value) ?? 10 * power;
}
