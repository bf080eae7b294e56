// Draws what came of the work, one way for each card.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const drawings = {
  photos({ sheet, thumbnails }) {
    const { url, width, height } = sheet;
    const image = element("img", { src: url, width, height, alt: "The contact sheet" });
    const links = thumbnails.map(({ url, width, height }) =>
      element("a", { href: url, textContent: `${width} × ${height}` }));
    return [
      element("a", { href: url }, [image]),
      element("p", { className: "links" }, ["Thumbnails:", ...links]),
    ];
  },

  orders({ orders, cents, months, products }) {
    const countries = Object.keys(Object.values(months)[0]);
    const revenue = Object.entries(months).map(([month, cents]) =>
      row("td", month, countries.map((country) => thousands(cents[country] ?? 0))));
    const best = products.map(({ product, cents }) => row("td", product, [thousands(cents)]));
    return [
      element("p", { textContent: `${whole.format(orders)} orders, € ${whole.format(cents / 100)}` }),
      table("Revenue, thousands of €", row("th", "Month", countries), revenue),
      table("Top products", row("th", "Product", ["Thousands of €"]), best),
    ];
  },

  mails({ received }) {
    return [
      element("p", { className: "count", textContent: whole.format(received) }),
      element("p", { textContent: "letters received by the mail server" }),
    ];
  },
};

function thousands(cents) {
  return whole.format(cents / 100_000);
}

function element(name, properties, children = []) {
  const created = Object.assign(document.createElement(name), properties);
  created.append(...children);
  return created;
}

function row(kind, first, others) {
  const head = element("th", { scope: kind === "th" ? "col" : "row", textContent: first });
  const cells = others.map((text) => element(kind, { textContent: text }));
  return element("tr", {}, [head, ...cells]);
}

function table(title, head, rows) {
  return element("table", {}, [
    element("caption", { textContent: title }),
    element("thead", {}, [head]),
    element("tbody", {}, rows),
  ]);
}
