// What the page is refused, and what it is told.
window.refused = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.refused.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`);
});
window.told = [];
for (const name of ["update", "done", "failed", "offline", "online"])
  document.addEventListener(`task-${name}`, ({ type, detail }) => {
    window.told.push([type, detail?.phase, detail?.version]);
  });
