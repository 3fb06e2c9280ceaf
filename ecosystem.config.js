/**
 * The standard deployment of the sample, for development and small hosts: one instance of each process, no autoscaling.
 *
 *     pm2 start ecosystem.config.js --env production
 */
'use strict';

const { defineSample } = require('./examples/wordpecker/ecosystem.cjs');

module.exports = defineSample({
  file: __filename,
  autoscale: false,
  backends: 1,
  frontends: 1,
  logPrefix: 'pm2',
});
