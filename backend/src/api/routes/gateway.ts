/** What gateways tell the supervisor. The other direction is the event stream. */
import type { ControlPlane } from '../../domain/views/controlPlane.js';
import { ok, route } from '../route.js';
import type { Route } from '../route.js';
import { isTrusted } from '../security/callers.js';
import { trafficAccepted, trafficReport } from '../schemas/traffic.js';

/** 1 024 upstreams of about 200 bytes. */
const REPORT_BYTES = 256 * 1024;

export function gatewayRoutes(controlPlane: ControlPlane): Route[] {
  return [
    route({
      method: 'post',
      path: '/api/ha/gateway/report',
      tag: 'process',
      summary: 'A gateway reports its traffic',
      description:
        'Sent about twice a second; forgotten after 5 s of silence. Fills response times, error rates and throughput, and a draining instance is stopped when every gateway says that nothing is under way there.',
      body: trafficReport,
      bodyBytes: REPORT_BYTES,
      answers: { 200: { description: 'Taken in.', data: trafficAccepted } },
      refusals: {
        429: '`gateway.too-many`: more gateways report than are listened to, or one that shows the token has this name.',
      },
      handle: ({ body }, { request }) => {
        controlPlane.reportTraffic(body, isTrusted(request));
        return ok({ accepted: true });
      },
    }),
  ];
}
