/**
 * /debug/*: the switches that tests use to break a running instance. Mounted only with ENABLE_FAULTS=true, and
 * to anyone but a client on this machine they do not exist (404). Neither do they for a page in a browser here that is
 * not of this service.
 */
import express from 'express';
import type { Request, Router } from 'express';
import { comesFromLoopback } from '../lib/clientIp.js';
import { AppError } from '../lib/errors.js';
import { isCrossSite, isForThisMachine } from '../lib/origin.js';
import { CpuBurn } from './cpuBurn.js';
import type { HealthSwitch } from './healthSwitch.js';
import { LEAK_CEILING_MB, MemoryLeak } from './memoryLeak.js';

const MAX_MS = 600_000;

export interface FaultRoutesOptions {
  readonly health: HealthSwitch;
  /** Ends the process. */
  readonly exit: (exitCode: number) => void;
}

export function faultRoutes({ health, exit }: FaultRoutesOptions): Router {
  const burn = new CpuBurn();
  const leak = new MemoryLeak();
  const router = express.Router();

  router.use((request, _response, next) => {
    const isOurs = comesFromLoopback(request) && isForThisMachine(request) && !isCrossSite(request);
    if (isOurs) next();
    else next('router');
  });

  router.post('/burn', (request, response) => {
    const ms = integer(request, 'ms', 0, MAX_MS);
    const percent = integer(request, 'percent', 1, 100, 100);
    burn.start(percent, ms);
    response.json({ success: true, burning: burn.active, ms, percent });
  });

  router.post('/block', (request, response) => {
    const ms = integer(request, 'ms', 0, MAX_MS);
    response.once('finish', () => setImmediate(blockMainThread, ms));
    response.json({ success: true, ms });
  });

  router.post('/leak', (request, response) => {
    const mbPerSecond = integer(request, 'mbPerSecond', 0, 1024);
    leak.start(mbPerSecond);
    response.json({
      success: true,
      mbPerSecond,
      heldMb: Math.round(leak.heldMb),
      ceilingMb: LEAK_CEILING_MB,
    });
  });

  router.post('/exit', (request, response) => {
    const code = integer(request, 'code', 0, 255, 1);
    response.once('finish', () => exit(code));
    response.json({ success: true, code });
  });

  router.post('/health', (request, response) => {
    const status = request.query['status'];
    if (status === 'hang' || status === 'wrong-body') health.mode = status;
    else health.mode = integer(request, 'status', 200, 599, undefined, 'hang, wrong-body or ');
    if (health.mode === 200) health.mode = 'truth';
    response.json({ success: true, health: health.mode });
  });

  router.get('/slow', (request, response) => {
    const ms = integer(request, 'ms', 0, MAX_MS);
    const timer = setTimeout(() => response.json({ success: true, ms }), ms);
    response.once('close', () => clearTimeout(timer));
  });

  return router;
}

/** Named so that it is what a stack of the blocked thread shows. */
function blockMainThread(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
}

function integer(
  request: Request,
  name: string,
  min: number,
  max: number,
  fallback?: number,
  orElse = '',
): number {
  const value = request.query[name];
  if (value === undefined && fallback !== undefined) return fallback;
  const number = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
  if (number >= min && number <= max) return number;
  const given = value === undefined ? 'is missing' : `is ${JSON.stringify(value)}`;
  throw new AppError(
    'fault.bad-parameter',
    `${name} ${given}: give ${orElse}a whole number from ${min} to ${max}`,
    { status: 400 },
  );
}
