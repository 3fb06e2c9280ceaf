/** The names under which schemas appear in the OpenAPI document's components. */
import { z } from 'zod';
import { blackBox, blackBoxList } from './blackBox.js';
import { eventList, eventRecord } from './events.js';
import { failover } from './failover.js';
import { loadBalancer } from './loadBalancer.js';
import { metrics } from './metrics.js';
import { failureReset, managementStarted, managementStopped, operationReport } from './operation.js';
import { instanceRef } from './primitives.js';
import { session } from './session.js';
import { alive, health, overallHealth, ready, status, summary } from './status.js';

export const namedSchemas = z.registry<{ id: string }>();

const names: Readonly<Record<string, z.ZodType>> = {
  InstanceRef: instanceRef,
  OperationReport: operationReport,
  ManagementStarted: managementStarted,
  ManagementStopped: managementStopped,
  FailureReset: failureReset,
  EventRecord: eventRecord,
  EventList: eventList,
  BlackBoxList: blackBoxList,
  BlackBox: blackBox,
  Status: status,
  Health: health,
  OverallHealth: overallHealth,
  Summary: summary,
  Alive: alive,
  Ready: ready,
  Metrics: metrics,
  LoadBalancer: loadBalancer,
  FailoverManager: failover,
  Session: session,
};
for (const [id, schema] of Object.entries(names)) namedSchemas.add(schema, { id });
