// Records what tests check: policy violations, the element's events, and messages to other tabs.
window.refused = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.refused.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`);
});
window.events = [];
for (const name of ["update", "succeeded", "failed", "offline", "online"])
  document.addEventListener(`task-${name}`, ({ type, detail }) => {
    window.events.push([type, detail?.phase, detail?.version]);
  });
window.posted = 0;
const { postMessage } = BroadcastChannel.prototype;
BroadcastChannel.prototype.postMessage = function (message) {
  window.posted++;
  return postMessage.call(this, message);
};
