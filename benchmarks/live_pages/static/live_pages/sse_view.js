// A typical page with a hand-written stream: immediate feedback for the click, one EventSource for
// all jobs, and writes only for changes.
const form = document.querySelector("#start");
const jobs = document.querySelector("#jobs");
let source;

function listen() {
  source?.close();
  const ids = [...jobs.querySelectorAll("[data-job]")].map(({ dataset }) => dataset.job);
  if (!ids.length) return;
  source = new EventSource(`/sse-view/events/?ids=${ids}`);
  source.onmessage = ({ data }) => show(JSON.parse(data));
  source.addEventListener("close", () => source.close());
}

function show({ id, percent, text, done }) {
  const job = jobs.querySelector(`[data-job="${id}"]`);
  job.querySelector("progress").value = percent;
  job.querySelector("span").textContent = text;
  if (done) job.dispatchEvent(new CustomEvent("job-done", { detail: { id }, bubbles: true }));
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  button.textContent = "Starting …";
  const response = await fetch(form.action, { method: "POST", body: new FormData(form) });
  const { id } = await response.json();
  const job = document.createElement("p");
  job.dataset.job = id;
  job.append(Object.assign(document.createElement("progress"), { max: 100 }), " ");
  job.append(document.createElement("span"));
  jobs.prepend(job);
  button.disabled = false;
  button.textContent = "Start";
  listen();
});

listen();
