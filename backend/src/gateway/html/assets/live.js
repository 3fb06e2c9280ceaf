(() => {
  const live = document.getElementById('live');
  const root = document.documentElement;
  let told = '';

  /** Said once per change of state, not once a second. */
  const say = (state, text) => {
    if (root.dataset.live !== state) root.dataset.live = state;
    if (told === text) return;
    told = text;
    live.textContent = text;
  };

  const clock = (ms) => new Date(ms).toLocaleTimeString();
  say('live', 'Live');
  keepUpToDate({
    periodMs: 1_000,
    timeoutMs: 3_000,
    onState(state, { lastMs, problem }) {
      if (state === 'live') say('live', 'Live');
      else if (state === 'paused') say('paused', 'Paused while hidden');
      else say('stale', `No answer from the gateway (${problem}). Figures are from ${clock(lastMs)}`);
    },
  });
})();
