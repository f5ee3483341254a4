// What opens beside and over the grid: menus, questions, a filter's choices, the version history.

const $ = (id) => document.getElementById(id);

// --- menus: items are [words, act, more] or null for a line; more has `off` and `key`

let opener = null;

export function closeMenu(refocus) {
  const menu = $("menu");
  if (menu.hidden) return false;
  menu.hidden = true;
  opener?.setAttribute?.("aria-expanded", "false");
  if (refocus) opener?.focus?.();
  opener = null;
  return true;
}

export function openMenu(from, items, at, after = () => {}) {
  closeMenu();
  const menu = $("menu");
  menu.className = "";
  menu.setAttribute("role", "menu");
  menu.replaceChildren(...items.map((item) => {
    if (!item) return document.createElement("hr");
    const [words, act, { off = false, key = "" } = {}] = item;
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: words, disabled: off });
    button.setAttribute("role", "menuitem");
    if (key) button.append(Object.assign(document.createElement("kbd"), { textContent: key }));
    button.onclick = () => {
      closeMenu();
      act();
      if ($("menu").hidden && !$("ask").open) after();
    };
    return button;
  }));
  place(menu, at || under(from));
  opener = from;
  from?.setAttribute?.("aria-expanded", "true");
  menu.querySelector("button:enabled")?.focus();
}

function under(element) {
  const box = element.getBoundingClientRect();
  return { x: box.left, y: box.bottom + 4 };
}

function place(menu, { x, y }) {
  menu.hidden = false;
  menu.style.left = `${Math.max(4, Math.min(x, innerWidth - menu.offsetWidth - 8))}px`;
  menu.style.top = `${Math.max(4, Math.min(y, innerHeight - menu.offsetHeight - 8))}px`;
}

document.addEventListener("pointerdown", (event) => {
  if (!event.target.closest("#menu")) closeMenu();
}, true);
$("menu").addEventListener("keydown", (event) => {
  const all = [...$("menu").querySelectorAll("button:enabled, input")];
  const at = all.indexOf(document.activeElement);
  if (event.key === "Escape") closeMenu(true);
  else if (event.key === "ArrowDown") all[(at + 1) % all.length]?.focus();
  else if (event.key === "ArrowUp") all[(at - 1 + all.length) % all.length]?.focus();
  else if (event.key === "Tab" && $("menu").className === "") closeMenu(true);
  else return;
  event.preventDefault();
  event.stopPropagation();
});

// --- questions

// Resolves with the chosen button's word; "" when it was closed. `field` asks for a text and resolves with that.
export function ask({ title, text = "", buttons, field = null, body = null }) {
  const dialog = $("ask");
  const [form] = dialog.children;
  form.children[0].textContent = title;
  form.children[1].textContent = text;
  form.children[1].hidden = !text;
  form.children[2].replaceChildren(...(body ? [body] : []));
  let input = null;
  if (field !== null) {
    input = Object.assign(document.createElement("input"), { value: field, autocomplete: "off" });
    input.setAttribute("aria-label", title);
    form.children[2].append(input);
  }
  form.children[3].replaceChildren(...buttons.map(([words, value], i) => {
    const button = Object.assign(document.createElement("button"), { value, textContent: words, type: "submit" });
    if (i === 0) button.className = "main";
    return button;
  }));
  dialog.returnValue = "";
  dialog.showModal();
  (input || form.querySelector(".main"))?.focus();
  input?.select();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(input && dialog.returnValue ? input.value : dialog.returnValue);
  });
}

// --- a filter's choices

export function openFilter({ at, column, choices, apply, clear }) {
  closeMenu();
  const menu = $("menu");
  menu.className = "choices";
  menu.setAttribute("role", "dialog");
  menu.setAttribute("aria-label", `Filter column ${column}`);
  const hidden = new Set(choices.hidden);
  const search = Object.assign(document.createElement("input"), { type: "search", placeholder: "Search values" });
  search.setAttribute("aria-label", "Search values");
  const list = document.createElement("div");
  const boxes = choices.values.map(([value, count]) => {
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: !hidden.has(value), value });
    const words = Object.assign(document.createElement("span"), { textContent: value === "" ? "(empty)" : value });
    label.append(box, words, Object.assign(document.createElement("small"), { textContent: count.toLocaleString("en") }));
    label.dataset.text = value.toLowerCase();
    list.append(label);
    return box;
  });
  search.oninput = () => {
    for (const label of list.children) label.hidden = !label.dataset.text.includes(search.value.toLowerCase());
  };
  const every = (on) => { for (const box of boxes) if (!box.parentNode.hidden) box.checked = on; };
  const row = document.createElement("div");
  row.className = "row";
  const button = (words, act, main) => {
    const made = Object.assign(document.createElement("button"), { type: "button", textContent: words, className: main ? "main" : "" });
    made.onclick = act;
    row.append(made);
  };
  button("All", () => every(true));
  button("None", () => every(false));
  button("Clear", () => { closeMenu(true); clear(); });
  button("Show", () => {
    const known = new Set(boxes.map((box) => box.value));
    const gone = [...hidden].filter((value) => !known.has(value));
    closeMenu(true);
    apply([...gone, ...boxes.filter((box) => !box.checked).map((box) => box.value)]);
  }, true);
  const note = choices.more ? [Object.assign(document.createElement("p"), { className: "quiet", textContent: "Only the first 2,000 values are listed." })] : [];
  menu.replaceChildren(search, list, ...note, row);
  place(menu, at);
  search.focus();
}

// --- version history

const WHO = { person: "Typed in the sheet", api: "Written by a program" };

export function listVersions(versions, chosen, choose) {
  const day = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });
  const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  $("versions").querySelector("ol").replaceChildren(...versions.map((version, i) => {
    const at = new Date(version.at);
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.setAttribute("aria-pressed", String(version.number === chosen || (i === 0 && chosen === null)));
    const when = Object.assign(document.createElement("b"), { textContent: `${day.format(at)}, ${time.format(at)}` });
    const who = Object.assign(document.createElement("span"), { textContent: i === 0 ? "Today's version" : version.says || WHO[version.who] || version.who, className: version.who });
    if (i === 0 && version.says) who.textContent = version.says;
    button.append(when, who);
    button.onclick = () => choose(i === 0 ? null : version);
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}
