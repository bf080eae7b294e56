// The browser's own measurements, added to the open trials.

import { keep, open } from "./journal.js";

const kinds = new Set(PerformanceObserver.supportedEntryTypes);
// Without interactionId the events of one click cannot be grouped.
if (!("interactionId" in (window.PerformanceEventTiming?.prototype ?? {}))) kinds.delete("event");
export const knows = (kind) => kinds.has(kind);
export const epoch = (moment) => performance.timeOrigin + moment;

function watch(type, take, options = {}) {
  if (!knows(type)) return;
  const hand = (list) => {
    list.getEntries().forEach(take);
    keep();
    dispatchEvent(new Event("measured"));
  };
  new PerformanceObserver(hand).observe({ type, buffered: true, ...options });
}

const during = ({ startTime }) => open().filter(({ pressed }) => epoch(startTime) >= pressed);

// Resizing the window shifts the layout, too: ignore that.
let resized = -Infinity;
addEventListener("resize", ({ timeStamp }) => (resized = timeStamp));
watch("layout-shift", (entry) => {
  if (entry.startTime - resized < 500) return;
  for (const trial of during(entry)) trial.shift += entry.value;
});

watch("long-animation-frame", (entry) => {
  const forced = entry.scripts.map((script) => script.forcedStyleAndLayoutDuration);
  const sum = forced.reduce((one, other) => one + other, 0);
  for (const trial of during(entry)) trial.forced += sum;
});

// The events of one click (pointerdown, pointerup, click) are one interaction; its longest event
// counts. With the keyboard the key's event has the time of the click.
const longest = new Map();
watch("event", ({ interactionId, startTime, duration }) => {
  if (!interactionId) return;
  longest.set(interactionId, Math.max(duration, longest.get(interactionId) ?? 0));
  for (const trial of open()) {
    // The two times are rounded differently.
    if (Math.abs(epoch(startTime) - trial.pressed) < 2) trial.interaction = interactionId;
    if (trial.interaction === interactionId) trial.inp = longest.get(interactionId);
  }
}, { durationThreshold: 16 });

// The request of a form that is submitted without leaving the page.
watch("resource", ({ initiatorType, name, startTime, responseStart }) => {
  if (initiatorType !== "fetch") return;
  for (const trial of open())
    if (new URL(name).pathname === `/${trial.experiment}/${trial.way}/` && epoch(startTime) >= trial.pressed)
      trial.firstByte ??= responseStart - startTime;
});

// A task posted in the frame's callback runs after the frame was painted.
export function painted() {
  return new Promise((resolve) => {
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => resolve(epoch(performance.now()));
      port2.postMessage(null);
    });
  });
}

// The time of this page's first paint. It never resolves for a page that was hidden from the start.
export function firstPaint() {
  return new Promise((resolve) => {
    new PerformanceObserver((list) => {
      const [entry] = list.getEntriesByName("first-contentful-paint");
      if (entry) resolve(epoch(entry.startTime));
    }).observe({ type: "paint", buffered: true });
  });
}
