/**
 * `/status.html`: how this service fares, for everybody who uses it. It says nothing of how the service is run: no
 * names of what it depends on, no versions, no addresses.
 */
import { plainName, renderPlainPage, type Tone } from './plainPage.js';

export type ServiceState = 'healthy' | 'degraded' | 'unhealthy' | 'draining';

const REFRESH_SECONDS = 5;

const WORDS: Readonly<Record<ServiceState, { readonly headline: string; readonly tone: Tone }>> = {
  healthy: { headline: 'is working', tone: 'up' },
  degraded: { headline: 'is working, with limitations', tone: 'degraded' },
  unhealthy: { headline: 'is not available right now', tone: 'down' },
  draining: { headline: 'is being updated', tone: 'degraded' },
};

/** @param service as in PM2: `wordpecker-backend`. @param now shown as the page's time, UTC. */
export function renderStatusPage(service: string, state: ServiceState, now: Date): string {
  const { headline, tone } = WORDS[state];
  const time = `<time datetime="${now.toISOString()}">${now.toISOString().slice(11, 16)} UTC</time>`;
  return renderPlainPage({
    title: `${plainName(service)} ${headline}`,
    tone,
    body: `<p>As of ${time}. This page looks again every ${REFRESH_SECONDS} seconds.</p>`,
    refreshSeconds: REFRESH_SECONDS,
  });
}
