// Another interaction on the page while it shows jobs.
const counted = document.querySelector("#counted");
document.querySelector("#count").addEventListener("click", () => {
  counted.textContent = Number(counted.textContent) + 1;
});
