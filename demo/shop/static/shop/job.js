// Asks for the state of a job until it has ended.

const PAUSE = 500;

export async function follow(address, show) {
  for (;;) {
    const work = await look(address);
    if (work) show(work);
    if (work?.state === "SUCCESSFUL" || work?.state === "FAILED") return work;
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

async function look(address) {
  // A server that is being restarted does not answer, but the job is kept: ask again.
  const response = await fetch(address).catch(() => null);
  if (response && !response.ok) throw new Error(`The server answered ${response.status}.`);
  return response?.json();
}
