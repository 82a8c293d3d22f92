/* The atlas in a browser: theme, search, keys, sortable tables, the map. Every page also works without it.
   Data come as scripts that call clipneuronAtlas, since a page that is opened from a folder may not fetch. */
"use strict";
(() => {
const ROOT = new URL("../", document.currentScript.src);
const html = document.documentElement;
const at = (id) => document.getElementById(id);
const MOST = 12, STEP = 200, BLOCK = 256, GRID = 4095, DEEP = 12;
const UNITS = { word: "neuron", pair: "picture" };

/* Chunks: each is loaded once, when it is first wanted. */
const waiting = new Map(), loading = new Map();
window.clipneuronAtlas = (name, data) => { waiting.get(name)?.(data); waiting.set(name, null); };  // null: it has come

function chunk(name) {
  if (!loading.has(name)) {
    loading.set(name, new Promise((found, failed) => {
      const script = document.createElement("script");
      waiting.set(name, found);
      script.src = new URL(`data/${name}.js`, ROOT).href;
      const lost = () => { loading.delete(name); failed(new Error(`data/${name}.js cannot be read`)); };
      script.onerror = lost;
      script.onload = () => { script.remove(); if (waiting.get(name) !== null) lost(); };
      document.head.append(script);
    }));
  }
  return loading.get(name);
}

/* What is text stays text: nothing here is ever parsed as HTML. */
function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
const page = (address) => new URL(address, ROOT).href;
const neuronPage = (layer, neuron) => page(`${layer}/${neuron}/index.html`);
const counted = (n, thing) => `${n.toLocaleString("en")} ${thing}${n === 1 ? "" : "s"}`;
const has = (spans, n) => spans.some(([first, last]) => first <= n && n <= last);

async function wordsOf(layer, neuron) {
  try {
    return (await chunk(`neuron/${layer}-${Math.floor(neuron / BLOCK)}`))[neuron] ?? "";
  } catch {
    return "";  // a run without words has no such chunks
  }
}

/* Theme: before anything is painted. */
function remembered() { try { return localStorage.getItem("clipneuron-theme"); } catch { return null; } }
function isDark() { return (html.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark"; }
if (["light", "dark"].includes(remembered())) html.dataset.theme = remembered();

function themeButton() {
  const button = at("theme");
  if (!button) return;
  const name = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    html.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("clipneuron-theme", html.dataset.theme); } catch { /* it holds for this page */ }
    name();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();
  button.hidden = false;
}

/* Search. The keys of a text are made as atlas/finding/search.py makes them. */
const folded = (text) => text.toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "");
function keysOf(plain) {
  const words = plain.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  return words.length ? words : [plain.trim()].filter(Boolean);
}
const hex = (text) => Array.from(new TextEncoder().encode(text), (byte) => byte.toString(16).padStart(2, "0")).join("");

/* The entries of a chunk with their keys, which are made once and not at every letter that is typed. */
const keyed = new Map();
async function entries(name) {
  const rows = await chunk(name);
  if (!keyed.has(name)) keyed.set(name, rows.map((row) => { const plain = folded(row[1]); return { row, plain, keys: keysOf(plain) }; }));
  return keyed.get(name);
}

/* The entries that may have a word that begins with `key`, and whether these are all. */
async function candidates(nodes, key) {
  const letters = Array.from(key);
  for (let n = Math.min(letters.length, DEEP); n >= 0; n--) {
    const prefix = letters.slice(0, n).join("");
    if (!nodes.has(prefix)) continue;
    const whole = nodes.get(prefix) === 1;
    if (!whole && n < Math.min(letters.length, DEEP)) break;
    return { whole, rows: await entries(`search/${hex(prefix) || "all"}`) };
  }
  return { whole: true, rows: [] };
}

async function searched(query) {
  const { nodes, layers } = await head();
  const plain = folded(query).trim(), places = neuronsLike(query, layers), keys = keysOf(plain);
  if (!keys.length) return { places, rows: [], whole: true };
  const sets = await Promise.all(keys.slice(0, 6).map((key) => candidates(nodes, key)));
  const all = sets.filter((set) => set.whole), whole = all.length > 0;
  const from = (whole ? all : sets).reduce((a, b) => (b.rows.length < a.rows.length ? b : a));
  const rows = from.rows.filter((entry) => keys.every((key) => entry.keys.some((word) => word.startsWith(key))));
  const isExact = (entry) => entry.plain === plain;
  return { places, rows: [...rows.filter(isExact), ...rows.filter((entry) => !isExact(entry))].map((entry) => entry.row), whole };
}

let headData = null;
async function head() {
  if (!headData) {
    const data = await chunk("search");
    headData = { nodes: new Map(data.nodes), layers: new Map(data.layers) };
  }
  return headData;
}

/* 9:4, 9/4, 9 4, L9 N4, layer 9 neuron 4; 9: and 9:4 go on with the numbers that begin so. */
function neuronsLike(query, layers) {
  const said = query.trim().toLowerCase().match(/^(?:layer|l)?\s*(\d{1,3})(?:\s*[:/.,\s]\s*(?:neuron|n)?\s*(\d{0,7}))?$/);
  if (!said || !layers.has(Number(said[1]))) return [];
  const layer = Number(said[1]), spans = layers.get(layer);
  if (!said[2]) return [[layer, null]];
  const start = Number(said[2]), found = has(spans, start) ? [[layer, start]] : [];
  for (let ten = 10; found.length < 6 && start > 0 && ten <= 1e6; ten *= 10) {
    for (let n = start * ten; n < (start + 1) * ten && found.length < 6 && n <= spans.at(-1)[1]; n++) if (has(spans, n)) found.push([layer, n]);
  }
  return found;
}

function placeItem([layer, neuron]) {
  if (neuron === null) return item(page(`${layer}/index.html`), `Layer ${layer}`, "layer");
  const shown = item(neuronPage(layer, neuron), `${layer}:${neuron}`, "neuron");
  wordsOf(layer, neuron).then((words) => { if (words) shown.querySelector(".js-kind").textContent = words; });
  return shown;
}
function rowItem([kind, text, address, count, neurons]) {
  const also = neurons.map(([layer, neuron]) => make("a", { href: neuronPage(layer, neuron) }, `${layer}:${neuron}`));
  return item(page(address), text, count ? `${kind} · ${counted(count, UNITS[kind] ?? "page")}` : kind, also);
}
function item(href, name, kind, also = []) {
  const link = make("a", { href }, make("span", { className: "js-name" }, name), " ", make("span", { className: "js-kind" }, kind));
  const more = also.flatMap((one) => [" ", one]);
  return make("li", {}, link, ...(more.length ? [make("span", { className: "js-also" }, ...more)] : []));
}

function searchBox() {
  const form = at("search"), query = at("query"), found = at("found"), list = at("found-list"), said = at("found-said");
  if (!form) return;
  let turn = 0;
  const close = () => { found.hidden = true; list.replaceChildren(); said.textContent = ""; };
  async function look() {
    const mine = ++turn;
    if (!query.value.trim()) { close(); return; }
    let items = [], words;
    try {
      const { places, rows, whole } = await searched(query.value);
      items = [...places.map(placeItem), ...rows.slice(0, MOST - places.length).map(rowItem)];  // at most seven places
      const more = places.length + rows.length > MOST || !whole;
      words = items.length ? `${more ? "The first " : ""}${counted(items.length, "result")}` : whole ? "Nothing found" : "Too many to look through: type more";
    } catch (error) {
      words = `The search does not work: ${error.message}`;
    }
    if (mine !== turn) return;
    list.replaceChildren(...items);
    said.textContent = words;
    found.hidden = false;
  }
  query.addEventListener("input", look);
  query.addEventListener("focus", () => { head().catch(() => {}); if (query.value) look(); }, { passive: true });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await look();
    list.querySelector("a")?.click();
  });
  form.addEventListener("keydown", (event) => {
    const stops = [query, ...list.querySelectorAll("li > a")], here = stops.indexOf(document.activeElement.closest("li")?.querySelector("a") ?? query);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) stops[Math.min(Math.max(here + step, 0), stops.length - 1)].focus();
    else if (event.key === "Escape") { turn++; close(); query.focus(); query.blur(); }
    else return;
    event.preventDefault();
  });
  document.addEventListener("pointerdown", (event) => { if (!form.contains(event.target)) close(); });
  form.addEventListener("focusout", (event) => { if (event.relatedTarget && !form.contains(event.relatedTarget)) close(); });
  form.hidden = false;
}

/* Keys: / to search, arrows between neurons, u to what a page belongs to. */
const KEYS = { ArrowLeft: "prev", ArrowRight: "next", u: "up" };
function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, [contenteditable], #search")) return;
  if (event.key === "/" && at("query")) {
    event.preventDefault();
    at("query").focus();
    at("query").select();
  } else if (Object.hasOwn(KEYS, event.key)) {
    const link = document.querySelector(`a[rel~="${KEYS[event.key]}"]`);
    if (link && !event.repeat) location.assign(link.href);
  }
}

/* Sortable tables. */
const missing = (value) => value === null || value === undefined || value === "";
function order(rows, value, down) {
  const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
  return rows.map((row, n) => [row, value(row), n]).sort(([, a, n], [, b, m]) => {
    if (missing(a) || missing(b)) return missing(a) - missing(b) || n - m;
    return (down ? -1 : 1) * compare(a, b) || n - m;
  }).map(([row]) => row);
}
function cellValue(row, column, kind) {
  const cell = row.cells[column], text = (cell?.dataset.value ?? cell?.textContent ?? "").trim();
  return text && kind === "number" ? Number(text.replace(/[,\s]/g, "").replace("−", "-").replace("%", "")) : text;
}
function formatted(value, header) {
  if (missing(value)) return "";
  if (typeof value !== "number") return value;
  if ("percent" in header.dataset) return `${(100 * value).toFixed(Number(header.dataset.digits ?? 1))} %`;
  const shown = header.dataset.digits ? value.toFixed(Number(header.dataset.digits)) : Math.abs(value) < 1000 ? value.toPrecision(3) : value.toFixed(0);
  return Number(shown) === 0 ? shown.replace("-", "") : shown.replace("-", "−");
}

function sortable(table) {
  const headers = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const more = make("button", { type: "button", className: "js-more", hidden: true });
  let data = null, left = [];
  table.after(more);

  function rowOf(n) {
    const cells = headers.map((header) => {
      const name = header.dataset.column, value = data[name]?.[n];
      const href = name === "neuron" && neuronPage(data.layer[n], value);
      const shown = href ? make("a", { href }, `${data.layer[n]}:${value}`) : formatted(value, header);
      const cell = make(header.hasAttribute("data-row") ? "th" : "td", {}, shown);
      if (cell.tagName === "TH") cell.scope = "row";
      cell.className = header.className;
      return cell;
    });
    return make("tr", {}, ...cells);
  }
  function show() {
    body.append(...left.splice(0, STEP).map(rowOf));
    more.hidden = !left.length;
    more.textContent = `Show ${Math.min(STEP, left.length)} more of ${left.length.toLocaleString("en")}`;
  }
  async function sort(header, column) {
    const down = header.getAttribute("aria-sort") === "descending" ? false : header.getAttribute("aria-sort") === "ascending" || header.dataset.sort === "number";
    if (table.dataset.rows && !data) {
      try { data = await chunk(table.dataset.rows); } catch { /* then the rows that are here are sorted */ }
    }
    if (data) {
      const values = data[header.dataset.column] ?? [];
      left = order([...(data.neuron ?? []).keys()], (n) => values[n], down);
      body.replaceChildren();
      show();
    } else {
      body.append(...order([...body.rows], (row) => cellValue(row, column, header.dataset.sort), down));
    }
    for (const other of headers) if (other.dataset.sort) other.setAttribute("aria-sort", other === header ? (down ? "descending" : "ascending") : "none");
  }
  headers.forEach((header, column) => {
    if (!header.dataset.sort) return;
    const button = make("button", { type: "button", className: "js-sort" }, ...header.childNodes);
    button.addEventListener("click", () => sort(header, column));
    header.replaceChildren(button);
    if (!header.hasAttribute("aria-sort")) header.setAttribute("aria-sort", "none");
  });
  more.addEventListener("click", show);
}

/* The map: the nearest neuron to the pointer. */
function map(figure) {
  const plane = figure.querySelector(".js-plane"), said = at("map-said");
  if (!plane) return;
  const mark = make("a", { className: "js-point", hidden: true });  // named by its title
  plane.append(mark);
  let points = null, turn = 0;
  async function load() {
    points ??= (await chunk(figure.dataset.map)).flatMap(([layer, spans, packed]) => {
      const bytes = atob(packed), numbers = spans.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, n) => first + n));
      return numbers.map((neuron, n) => {
        const [a, b, c] = [0, 1, 2].map((k) => bytes.charCodeAt(3 * n + k));
        return { layer, neuron, x: ((a << 4) | (b >> 4)) / GRID, y: (((b & 15) << 8) | c) / GRID };
      });
    });
    return points;
  }
  async function look(event) {
    const mine = ++turn, box = plane.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width, y = 1 - (event.clientY - box.top) / box.height;
    let best = null, least = Infinity;
    for (const point of await load()) {
      const far = (point.x - x) ** 2 + (point.y - y) ** 2;
      if (far < least) [best, least] = [point, far];
    }
    if (mine !== turn || !best) return;
    const name = `${best.layer}:${best.neuron}`, words = await wordsOf(best.layer, best.neuron);
    if (mine !== turn) return;
    mark.href = neuronPage(best.layer, best.neuron);
    mark.style.left = `${100 * best.x}%`;
    mark.style.top = `${100 * (1 - best.y)}%`;
    mark.title = words ? `${name} ${words}` : name;
    mark.hidden = false;
    if (said) { said.textContent = mark.title; said.hidden = false; }
  }
  plane.addEventListener("pointermove", (event) => { look(event).catch(() => {}); });
  plane.addEventListener("click", async (event) => {
    if (event.target === mark) return;
    await look(event).catch(() => {});
    if (!mark.hidden) location.assign(mark.href);
  });
}

function toggles() {
  const buttons = [...document.querySelectorAll("button[data-toggle]")];
  for (const button of buttons) {
    const name = button.dataset.toggle;
    button.hidden = false;
    button.addEventListener("click", () => {
      const off = html.dataset[name] !== "off";
      if (off) html.dataset[name] = "off"; else delete html.dataset[name];
      for (const other of buttons) if (other.dataset.toggle === name) other.setAttribute("aria-pressed", String(!off));
    });
  }
}

document.addEventListener("DOMContentLoaded", () => {
  themeButton();
  searchBox();
  toggles();
  document.addEventListener("keydown", keys);
  if (at("keys")) at("keys").hidden = false;
  document.querySelectorAll("table[data-sortable]").forEach(sortable);
  if (at("map")) map(at("map"));
});
})();
