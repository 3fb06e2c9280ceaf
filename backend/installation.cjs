/**
 * Where Holdfast itself lies, and which folder it works in: the project folder, with `.env`, `config.yml`, data and logs.
 *
 * - A clone is its own project folder, wherever the command is typed.
 * - A package that npm installed (`node_modules/holdfast`) works in the folder in which the command is typed: nothing is
 *   ever written below node_modules.
 * - HA_ROOT, where it is set, is the project folder of both. What Holdfast starts gets it.
 *
 * CommonJS and without dependencies, like ecosystem.cjs.
 */
'use strict';

const path = require('node:path');

const packageFolder = path.dirname(__dirname);
const isPackage = path.basename(path.dirname(packageFolder)) === 'node_modules';
const projectFolder = path.resolve(process.env.HA_ROOT || (isPackage ? '.' : packageFolder));

module.exports = { isPackage, packageFolder, projectFolder };
