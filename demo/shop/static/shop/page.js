// A press on a button: send the form, time the answer, follow the job, draw the result.

import { Lane } from "./lane.js";
import { follow } from "./job.js";
import { drawings } from "./results.js";

for (const form of document.querySelectorAll("form.card")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    press(form, event.submitter);
  });
}

async function press(form, button) {
  const lane = new Lane(form, button.value);
  button.disabled = true;
  try {
    const body = await fill(form);
    lane.begin();
    const answer = await send(button.formAction, body);
    lane.answered();
    const work = answer.job ? await follow(answer.job, (state) => lane.show(state)) : answer.work;
    lane.ended(work);
    if (work.result) draw(form, work.result);
  } catch (error) {
    lane.broke(error);
  } finally {
    button.disabled = false;
  }
}

async function fill(form) {
  const data = new FormData(form);
  const input = form.elements.image;
  if (input && !input.files.length) {
    const sample = await fetch(input.dataset.sample);
    data.set("image", await sample.blob(), "photo.jpg");
  }
  return data;
}

async function send(address, body) {
  const response = await fetch(address, { method: "POST", body });
  if (!response.ok && response.status !== 400) {
    throw new Error(`The server answered ${response.status}.`);
  }
  const work = await response.json();
  if (work.error) throw new Error(work.error);
  return { work, job: response.headers.get("Location") };
}

function draw(form, result) {
  const place = form.querySelector(".result");
  place.replaceChildren(...drawings[form.id](result));
  place.hidden = false;
}
