(() => {
  const notice = document.getElementById('notice');
  keepUpToDate({
    periodMs: 5_000,
    timeoutMs: 4_000,
    /** The reader's own time instead of UTC. */
    prepare(view) {
      for (const time of view.querySelectorAll('time')) {
        const local = new Date(time.dateTime);
        time.textContent = local.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
      }
    },
    onState(state, { lastMs }) {
      const at = new Date(lastMs).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
      const text = state === 'stale' ? `The status can’t be reached. What you see is from ${at}.` : '';
      if (notice.textContent !== text) notice.textContent = text;
    },
  });
})();
