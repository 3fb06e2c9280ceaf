/** The registry: every call of the API. A new call is one entry in one of these files. */
import type { ControlPlane } from '../../domain/views/controlPlane.js';
import type { EventStream } from '../eventStream.js';
import type { Exposition } from '../metrics/exposition.js';
import type { Route } from '../route.js';
import type { Authenticator } from '../security/authenticator.js';
import type { Readiness } from '../settings.js';
import { blackBoxRoutes } from './blackBox.js';
import { documentRoutes } from './documents.js';
import { eventRoutes } from './events.js';
import { gatewayRoutes } from './gateway.js';
import { insightRoutes } from './insight.js';
import { managementRoutes } from './management.js';
import { operationRoutes } from './operations.js';
import { processRoutes } from './process.js';
import { sessionRoutes } from './session.js';

export interface RouteDependencies {
  readonly controlPlane: ControlPlane;
  readonly readiness: () => Readiness;
  readonly stream: EventStream;
  readonly authenticator: Authenticator;
  readonly exposition: Exposition;
  readonly version: string;
}

export function buildRoutes(dependencies: RouteDependencies): readonly Route[] {
  const { controlPlane, readiness, stream, authenticator, exposition, version } = dependencies;
  const routes = [
    ...managementRoutes(controlPlane),
    ...operationRoutes(controlPlane),
    ...insightRoutes(controlPlane),
    ...eventRoutes(controlPlane, stream),
    ...blackBoxRoutes(controlPlane),
    ...gatewayRoutes(controlPlane),
    ...sessionRoutes(authenticator),
    ...processRoutes(controlPlane, readiness, exposition),
  ];
  return [...routes, ...documentRoutes(routes, version)];
}
