/**
 * The clustered deployment of the sample, for production: several instances of each service, autoscaling on.
 *
 *     pm2 start ecosystem.cluster.config.js --env production
 */
'use strict';

const { availableParallelism } = require('node:os');
const { defineSample } = require('./examples/wordpecker/ecosystem.cjs');

module.exports = defineSample({
  file: __filename,
  autoscale: true,
  backends: 2,
  frontends: availableParallelism() > 2 ? 2 : 1,
  logPrefix: 'cluster',
});
