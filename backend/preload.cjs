/**
 * What instances are started with (`node --require`): loads the agent if there is one. Outside the build, because a
 * build that is being exchanged, taken back to one without an agent, or broken must never keep an application from
 * starting.
 */
'use strict';

try {
  require('./dist/agent/preload.js');
} catch {
  // The application runs without.
}
