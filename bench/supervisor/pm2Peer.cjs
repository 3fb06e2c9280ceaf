/**
 * PM2's own programmatic API, in a process of its own: the library is not loaded into what measures, and it may wait
 * for ever without anybody else waiting. Commands come as IPC messages `{id, command, app, argument}` and are answered
 * `{id, result, tookMs}` or `{id, error}`; `tookMs` is the time until PM2 called back.
 */
'use strict';

const { promisify } = require('node:util');
const pm2 = require('pm2');

const list = promisify(pm2.list.bind(pm2));
const remove = promisify(pm2.delete.bind(pm2));

const rowsOf = async (app) =>
  (await list())
    .filter(({ name }) => name === app)
    .map((row) => ({ pmId: row.pm_id, port: Number(row.pm2_env.PORT) }));

const commands = {
  instances: rowsOf,
  scale: (app, change) => promisify(pm2.scale.bind(pm2))(app, change).then(() => null),
  reload: (app) => promisify(pm2.reload.bind(pm2))(app).then(() => null),
  async removeNewest(app) {
    const newest = Math.max(...(await rowsOf(app)).map(({ pmId }) => pmId));
    await remove(newest);
    return null;
  },
};

process.on('message', async ({ id, command, app, argument }) => {
  const beganMs = performance.now();
  try {
    const result = await commands[command](app, argument);
    process.send({ id, result, tookMs: performance.now() - beganMs });
  } catch (error) {
    process.send({ id, error: String(error?.message ?? error?.msg ?? error) });
  }
});
process.on('disconnect', () => process.exit(0));

pm2.connect((error) => {
  process.send(error ? { id: 0, error: String(error.message ?? error) } : { id: 0, result: null, tookMs: 0 });
});
