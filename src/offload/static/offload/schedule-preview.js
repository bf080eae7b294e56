// Shows what a schedule's expression means, and when it ticks, while it is typed in the admin.
addEventListener("DOMContentLoaded", () => {
  const output = document.querySelector(".schedule-preview");
  const fields = ["cron", "timezone"].map((name) => document.getElementById(`id_${name}`));
  if (!output || fields.includes(null)) return;
  const [words, list] = output.children;
  let newest = 0;

  const show = async () => {
    const number = ++newest;
    const [cron, timezone] = fields.map((field) => field.value);
    const response = await fetch(`${output.dataset.url}?${new URLSearchParams({ cron, timezone })}`);
    if (!response.ok || number !== newest) return;
    const preview = await response.json();
    if (number !== newest) return;
    words.textContent = preview.words;
    list.replaceChildren(
      ...preview.ticks.map((tick) => {
        const item = document.createElement("li");
        item.textContent = tick;
        return item;
      }),
    );
  };

  let timer;
  for (const field of fields) {
    field.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(show, 200);
    });
  }
  if (fields[0].value) show();
});
