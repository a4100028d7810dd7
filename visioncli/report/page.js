"use strict";
(() => {
  const STEP = 120; // pictures that are laid out in one frame; more come while the last one is near
  const data = JSON.parse(document.getElementById("data").textContent);
  const grid = document.querySelector(".grid");
  const form = document.querySelector(".controls");
  const dialog = document.querySelector("dialog");
  const end = document.querySelector(".end");
  const detail = dialog.querySelector(".detail");
  const label = new Map(data.labels.map((name, place) => [name, place]));
  const cards = data.cards.map(([row, status, score, certainty, labels], place) => {
    const element = grid.children[place];
    const id = element.querySelector(".id").textContent.toLowerCase();
    return { row, status, score, certainty, labels, element, id };
  });
  const byElement = new Map(cards.map((card) => [card.element, card]));
  let order = cards; // as they stand in the grid
  let shown = cards; // of these, the ones that were asked for
  let most = STEP; // of these, how many are laid out: a browser takes its time for thousands
  let current = null; // the card that Tab leads to
  let detailed = null; // the card that the dialog shows

  const by = (value, sign) => (a, b) => {
    const [x, y] = [value(a), value(b)];
    return x === null || y === null ? (x === null) - (y === null) : sign * (x - y);
  };
  const orders = {
    row: by((card) => card.row, 1),
    high: by((card) => card.score, -1),
    low: by((card) => card.score, 1),
    unsure: by((card) => card.certainty, 1),
  };

  const asked = (name) => (form.elements[name] ? form.elements[name].value : "");

  function fits() {
    const [status, text] = [asked("status"), asked("text").toLowerCase()];
    const wanted = asked("label") === "" ? null : label.get(asked("label"));
    const low = asked("low") === "" ? null : Number(asked("low"));
    const high = asked("high") === "" ? null : Number(asked("high"));
    return (card) =>
      (status === "" || card.status === status) &&
      (wanted === null || card.labels.includes(wanted)) &&
      (low === null || (card.score !== null && card.score >= low)) &&
      (high === null || (card.score !== null && card.score <= high)) &&
      (text === "" || card.id.includes(text));
  }

  function filter() {
    shown = order.filter(fits());
    most = STEP;
    lay();
    form.querySelector("output").textContent =
      `${shown.length.toLocaleString("en")} of ${cards.length.toLocaleString("en")}`;
    document.querySelector(".none").hidden = shown.length > 0;
    if (!shown.includes(current)) lead(shown[0]);
  }

  function lay() {
    const visible = new Set(shown.slice(0, most));
    for (const card of cards) {
      const hidden = !visible.has(card);
      if (card.element.hidden !== hidden) card.element.hidden = hidden;
    }
    end.hidden = most >= shown.length;
  }

  function reach(place) {
    if (place < most || most >= shown.length) return;
    most = place + STEP;
    lay();
  }

  function sort() {
    order = [...cards].sort(orders[asked("order")]);
    grid.replaceChildren(...order.map((card) => card.element));
    filter();
    lead(shown[0]);
  }

  function lead(card) {
    if (current) current.element.tabIndex = -1;
    current = card ?? null;
    if (current) current.element.tabIndex = 0;
  }

  function go(card) {
    if (!card) return;
    reach(shown.indexOf(card));
    lead(card);
    card.element.focus({ preventScroll: true });
    card.element.scrollIntoView({ block: "nearest" });
  }

  function columns() {
    const top = shown[0].element.offsetTop;
    const next = shown.findIndex((card) => card.element.offsetTop !== top);
    return next < 0 ? shown.length : next;
  }

  function steps(key) {
    return { ArrowRight: () => 1, ArrowLeft: () => -1, ArrowDown: columns, ArrowUp: () => -columns(),
      Home: () => -shown.length, End: () => shown.length }[key];
  }

  function show(card) {
    if (!card) return;
    if (!shown.includes(card)) {
      form.reset();
      sort();
    }
    detailed = card;
    lead(card);
    detail.replaceChildren(...[...card.element.children].map((part) => part.cloneNode(true)));
    for (const more of detail.querySelectorAll("details.more")) more.open = true;
    dialog.querySelector(".place").textContent =
      `${(shown.indexOf(card) + 1).toLocaleString("en")} of ${shown.length.toLocaleString("en")}`;
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  }

  const beside = (step) => shown[shown.indexOf(detailed) + step];

  function picture(row) {
    const card = cards.find((one) => one.row === row);
    const image = card && card.element.querySelector(":scope > img");
    return image ? image.cloneNode() : null;
  }

  const rowOf = (link) => Number(link.getAttribute("href").slice("#row-".length));

  grid.addEventListener("focusin", (event) => {
    const card = byElement.get(event.target.closest(".card"));
    if (card) lead(card);
  });
  grid.addEventListener("keydown", (event) => {
    if (event.target !== (current && current.element) || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = steps(event.key);
    if (event.key === "Enter") show(current);
    else if (step) go(shown[Math.min(shown.length - 1, Math.max(0, shown.indexOf(current) + step()))]);
    else return;
    event.preventDefault();
  });
  grid.addEventListener("click", (event) => {
    if (event.target.closest("details, a")) return;
    show(byElement.get(event.target.closest(".card")));
  });
  dialog.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) show(beside(step));
  });
  dialog.querySelector("[name=previous]").addEventListener("click", () => show(beside(-1)));
  dialog.querySelector("[name=next]").addEventListener("click", () => show(beside(1)));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => go(detailed)); // the browser has gone back to where it was opened

  for (const link of document.querySelectorAll(".group .members a, .map a, td.links a")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      show(cards.find((card) => card.row === rowOf(link)));
    });
  }
  for (const link of document.querySelectorAll(".group .members a")) {
    const image = picture(rowOf(link));
    if (!image) continue;
    image.alt = link.title = link.textContent;
    link.classList.add("pictured");
    link.replaceChildren(image);
  }
  const seen = document.querySelector(".map .seen");
  if (seen) {
    document.querySelector(".map svg").addEventListener("pointerover", (event) => {
      const link = event.target.closest("a");
      if (!link) return;
      const image = picture(rowOf(link));
      seen.replaceChildren(...(image ? [image] : []), link.querySelector("title").textContent);
    });
  }

  end.addEventListener("click", () => reach(most));
  const nearing = new IntersectionObserver((seen) => {
    if (!seen.some((one) => one.isIntersecting)) return;
    reach(most);
    nearing.unobserve(end); // it may be near still, which is no change to be told of
    nearing.observe(end);
  }, { rootMargin: "1200px" });
  nearing.observe(end);
  addEventListener("beforeprint", () => reach(shown.length));

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => (event.target.name === "order" ? sort() : filter()));
  form.addEventListener("reset", () => setTimeout(sort));
  form.hidden = false;
  for (const keys of document.querySelectorAll(".keys")) keys.hidden = false;
  sort();
})();
