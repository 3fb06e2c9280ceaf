/**
 * The folder in which the supervisor's sockets lie: `run` in the data directory, or, where the path of a socket in it would be
 * longer than a socket's may be, a private folder among the temporary files. That has a random name, so that no other user
 * can have made it before, and `run/socket-folder` in the data directory says which it is: what is started later, or
 * lives on meanwhile, means the same one. CommonJS and without dependencies, like ecosystem.cjs.
 */
'use strict';

const { randomBytes } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

/** Longest path of a unix socket that every system takes: 103 bytes and a zero on macOS, 107 on Linux. */
const LONGEST_SOCKET_PATH = 103;
/** The longest name of a socket in it. */
const LONGEST_NAME = 'api-65535.sock';

/**
 * @param {string} dataDirectory absolute
 * @returns {string} its path; one among the temporary files is there, and of this user alone
 * @throws with the file system's error where it can't be made
 */
function makeSocketFolder(dataDirectory) {
  const own = path.join(dataDirectory, 'run');
  if (fits(own)) return own;
  const file = path.join(own, 'socket-folder');
  const kept = read(file);
  if (kept !== null && isUsable(kept)) return kept;
  const folder = path.join(os.tmpdir(), `holdfast-${randomBytes(12).toString('hex')}`);
  fs.mkdirSync(folder, { mode: 0o700 });
  fs.mkdirSync(own, { recursive: true, mode: 0o700 });
  const draft = `${file}.${process.pid}-${randomBytes(4).toString('hex')}`;
  fs.writeFileSync(draft, folder, { flag: 'wx', mode: 0o600, flush: true });
  // Of two processes that start together, both read one name.
  if (kept === null && !linked(draft, file)) fs.rmdirSync(folder);
  else if (kept !== null) fs.renameSync(draft, file);
  fs.rmSync(draft, { force: true });
  return read(file) ?? folder;
}

/**
 * The same without making anything.
 * @param {string} dataDirectory absolute
 * @returns {string} `run` in the data directory where no other one was made
 */
function findSocketFolder(dataDirectory) {
  const own = path.join(dataDirectory, 'run');
  return fits(own) ? own : (read(path.join(own, 'socket-folder')) ?? own);
}

function fits(folder) {
  return Buffer.byteLength(path.join(folder, LONGEST_NAME)) <= LONGEST_SOCKET_PATH;
}

/** null: there is no such file, or no path in it. */
function read(file) {
  try {
    const text = fs.readFileSync(file, 'utf8').trim();
    return path.isAbsolute(text) && fits(text) ? text : null;
  } catch {
    return null;
  }
}

/** Whether it is a folder of this user alone; one that was cleared away is made again. */
function isUsable(folder) {
  try {
    fs.mkdirSync(folder, { mode: 0o700 });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') return false;
  }
  const found = fs.lstatSync(folder, { throwIfNoEntry: false });
  return found?.isDirectory() === true && found.uid === process.getuid?.() && (found.mode & 0o077) === 0;
}

function linked(draft, file) {
  try {
    fs.linkSync(draft, file);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

module.exports = { findSocketFolder, makeSocketFolder };
