"use strict";
(() => {
  const STEP = 120; // pictures that are laid out in one frame; more come while the last one is near
  const data = JSON.parse(document.getElementById("data").textContent); // as page.py's _as_json says
  const grid = document.querySelector(".grid");
  const form = document.querySelector(".controls");
  const dialog = document.querySelector("dialog");
  const end = document.querySelector(".end");
  const detail = dialog.querySelector(".detail");
  const cards = data.map(([row, status, score, certainty, labels], place) => {
    const element = grid.children[place];
    const id = element.querySelector(".id").textContent.toLowerCase();
    element.querySelector("summary").tabIndex = -1; // the dialog shows what it hides: one stop of Tab for all cards
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
  const number = (name) => (asked(name) === "" ? null : Number(asked(name)));

  function fits() {
    const text = asked("text").toLowerCase();
    const [status, label, low, high] = ["status", "label", "low", "high"].map(number);
    return (card) =>
      (status === null || card.status === status) &&
      (label === null || card.labels.includes(label)) &&
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

  // What is not laid out is not in the page: a hidden card would still cost each time that others are laid out.
  function lay() {
    grid.replaceChildren(...shown.slice(0, most).map((card) => card.element));
    end.hidden = most >= shown.length;
  }

  function reach(place) {
    if (place < most || most >= shown.length) return;
    const before = most;
    most = place + STEP;
    grid.append(...shown.slice(before, most).map((card) => card.element));
    end.hidden = most >= shown.length;
  }

  function sort() {
    order = [...cards].sort(orders[asked("order")]);
    filter();
    lead(shown[0]);
  }

  function lead(card) {
    if (current) current.element.tabIndex = -1;
    current = card ?? null;
    if (current) current.element.tabIndex = 0;
  }

  function clear() {
    for (const field of form.querySelectorAll("input")) field.value = "";
    for (const field of form.querySelectorAll("select")) field.selectedIndex = 0;
    sort();
  }

  function reveal(card) {
    if (!shown.includes(card)) clear();
    reach(shown.indexOf(card));
  }

  function go(card) {
    if (!card) return;
    reveal(card);
    lead(card);
    card.element.focus({ preventScroll: true });
    const covered = getComputedStyle(form).position === "sticky" ? form.offsetHeight : 0;
    card.element.style.scrollMarginTop = `${covered + 10}px`;
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
    reveal(card);
    detailed = card;
    lead(card);
    detail.replaceChildren(...[...card.element.children].map((part) => part.cloneNode(true)));
    for (const more of detail.querySelectorAll("details.more")) more.open = true;
    dialog.querySelector(".place").textContent =
      `${(shown.indexOf(card) + 1).toLocaleString("en")} of ${shown.length.toLocaleString("en")}`;
    if (!dialog.open) {
      dialog.showModal();
      dialog.querySelector("[name=close]").focus();
    }
    dialog.scrollTop = 0;
  }

  const beside = (step) => shown[shown.indexOf(detailed) + step];

  const byRow = (row) => cards.find((card) => card.row === row);

  function picture(row) {
    const card = byRow(row);
    const image = card && card.element.querySelector(":scope > img");
    return image ? image.cloneNode() : null;
  }

  const rowOf = (link) => Number(link.getAttribute("href").slice("#row-".length));

  function visit() {
    if (/^#row-\d+$/.test(location.hash)) go(byRow(Number(location.hash.slice("#row-".length))));
  }

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
      show(byRow(rowOf(link)));
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
    seen.hidden = false;
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
  addEventListener("hashchange", visit);

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => (event.target.name === "order" ? sort() : filter()));
  form.addEventListener("reset", (event) => { event.preventDefault(); clear(); });
  form.hidden = false;
  for (const keys of document.querySelectorAll(".keys")) keys.hidden = false;
  sort();
  visit();
})();
