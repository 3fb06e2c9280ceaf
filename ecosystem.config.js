/**
 * The standard deployment, for development and small hosts: one instance of each process, no autoscaling.
 *
 *     pm2 start ecosystem.config.js --env production
 */
'use strict';

const { defineApps } = require('./backend/ecosystem.cjs');

module.exports = {
  apps: defineApps({ file: __filename, autoscale: false, backends: 1, frontends: 1, logPrefix: 'pm2' }),
};
