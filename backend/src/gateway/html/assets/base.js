/**
 * Keeps a page up to date: asks for the page itself, and takes over what differs. Nothing is asked for while nobody
 * looks. What does not differ stays untouched, so that a selection, a focus or a screen reader is not disturbed.
 */
'use strict';

/**
 * Makes `old` look like `fresh`, changing as little as possible.
 * @param {Element} old
 * @param {Element} fresh
 */
function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const before = [...old.childNodes];
  const after = [...fresh.childNodes];
  for (const [index, node] of after.entries()) {
    if (index < before.length) morph(before[index], node);
    else old.append(node);
  }
  for (const surplus of before.slice(after.length)) surplus.remove();
}

/** Browsers name a failed connection each in its own way; a TypeError it is in all of them. */
function reasonOf(error) {
  if (error.name === 'TimeoutError') return 'no answer in time';
  return error.name === 'TypeError' ? 'it can’t be reached' : error.message;
}

/**
 * @param {{
 *   periodMs: number,
 *   timeoutMs: number,
 *   prepare?: (view: Element) => void,
 *   onState: (state: 'live' | 'stale' | 'paused', detail: { lastMs: number, problem: string }) => void,
 * }} options `onState` is told after every attempt; `lastMs` is when the page was last up to date.
 */
function keepUpToDate({ periodMs, timeoutMs, prepare, onState }) {
  let lastMs = Date.now();
  let timer = 0;
  let running = false;

  const refresh = async () => {
    const response = await fetch(location.href, {
      cache: 'no-store',
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (!response.ok) throw new Error(`it answers ${response.status}`);
    const fresh = new DOMParser().parseFromString(await response.text(), 'text/html');
    const view = fresh.getElementById('view');
    if (view === null) throw new Error('it answers something else');
    // Style and script of another build: only a new page will do.
    if (fresh.documentElement.dataset.build !== document.documentElement.dataset.build) location.reload();
    prepare?.(view);
    morph(document.getElementById('view'), document.adoptNode(view));
    lastMs = Date.now();
  };

  const turn = async () => {
    if (running || document.hidden) return;
    running = true;
    let state = 'live';
    let problem = '';
    try {
      await refresh();
    } catch (error) {
      state = 'stale';
      problem = reasonOf(error);
    }
    running = false;
    // Hidden while the answer was on its way: that is what the reader is told when they come back.
    onState(document.hidden ? 'paused' : state, { lastMs, problem });
    clearTimeout(timer);
    timer = setTimeout(turn, periodMs);
  };

  document.addEventListener('visibilitychange', () => {
    if (document.hidden) onState('paused', { lastMs, problem: '' });
    else void turn();
  });
  prepare?.(document.getElementById('view'));
  timer = setTimeout(turn, document.hidden ? 0 : Math.min(periodMs, 1_000));
}
