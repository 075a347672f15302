"use strict";
const cards = JSON.parse(document.getElementById("data").textContent);
const list = document.getElementById("cards"), more = document.getElementById("more");
const controls = Object.fromEntries(["filter", "error", "slice", "fault", "change", "order"].map(id => [id, document.getElementById(id)]));
const AT_ONCE = 30;
let chosen = [], numDrawn = 0;

/** Makes an element; text goes in as text, whatever it says. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value; else element.setAttribute(name, value);
  }
  element.append(...children.filter(child => child !== null));
  return element;
}

for (const card of cards) {
  card.text = [card.id, ...card.references, ...card.nbest.map(one => one[1]), card.rival ? card.rival[0] : ""].join(" ").toLowerCase();
  card.sure = card.words.reduce((sum, word) => sum + Math.log(Math.max(word[1] ?? 1, 1e-6)), 0) / Math.max(1, card.words.length);
}

/** Text for those who hear the page: what others see in a colour, or when they point at something. */
function unseen(text) {
  return make("span", { className: "unseen" }, text);
}

function isWanted(card, words) {
  const { error, slice, fault, change } = controls;
  return words.every(word => card.text.includes(word))
    && (!error.value || (error.value === "none" ? !card.errors.length : card.errors.some(one => one[0] === error.value)))
    && (!slice.value || slice.value.split("|").every(name => card.slices.includes(name)))
    && (!fault.value || (fault.value === "none" ? !card.fault : card.fault === fault.value))
    && (!change || !change.value || card.change === change.value);
}

function update() {
  const words = controls.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const sign = controls.order.value.startsWith("-") ? -1 : 1, key = controls.order.value.replace("-", "");
  chosen = cards.filter(card => isWanted(card, words)).sort((a, b) => sign * ((a[key] ?? 0) - (b[key] ?? 0)) || a.rank - b.rank);
  list.replaceChildren();
  numDrawn = 0;
  drawMore();
  document.getElementById("count").textContent = chosen.length === 1 ? "1 caption" : `${chosen.length.toLocaleString("en")} captions`;
}

function drawMore() {
  list.append(...chosen.slice(numDrawn, numDrawn + AT_ONCE).map(draw));
  numDrawn = Math.min(chosen.length, numDrawn + AT_ONCE);
  more.hidden = numDrawn === chosen.length;
}

function draw(card) {
  const canvas = make("canvas", { width: card.grid, height: card.grid });
  const image = make("img", { src: card.picture, alt: `Picture ${card.id}` });
  const picture = make("div", { className: "picture" }, image, canvas);
  if (card.aspect) picture.style.aspectRatio = card.aspect;
  const body = make("div", {}, head(card), caption(card, canvas), errors(card), scores(card),
    make("h4", {}, "People said"), references(card), rest(card));
  const article = make("article", { "aria-labelledby": `c${card.rank}` }, picture, body);
  return make("li", { tabIndex: -1 }, article);
}

function head(card) {
  const parts = [make("b", {}, `badness ${card.badness.toFixed(2)}`), make("span", {}, `rank ${card.rank}`), make("code", {}, card.id)];
  if (card.cut) parts.push(make("span", {}, "cut off at the length limit"));
  if (card.fault) parts.push(make("span", {}, `fault of the ${card.fault}`));
  if (card.change) parts.push(make("span", {}, `${card.change} by this model`));
  return make("div", { className: "head" }, ...parts);
}

/** The caption word by word: each is a button that keeps in view where the model looked, and says what is known of it. */
function caption(card, canvas) {
  const flagged = new Map(card.errors.flatMap(one => one[1].map(position => [position, one[0]])));
  const attention = Uint8Array.from(atob(card.attention), letter => letter.charCodeAt(0));
  const show = position => drawAttention(canvas, attention, card.grid, position);
  let kept = -1;
  const elements = card.words.map(([word, probability, confidence], position) => {
    const told = [flagged.get(position), probability === null ? null : `${Math.round(100 * probability)} % probable`,
      confidence === null ? null : `${Math.round(100 * confidence)} % sure to fit`].filter(Boolean).join(", ");
    // No button element: its text could not be selected and copied.
    const element = make("span", { className: flagged.has(position) ? "word error" : "word", tabIndex: 0, role: "button", "aria-pressed": "false" }, word);
    if (told) { element.title = told; element.setAttribute("aria-description", told); }
    if (probability !== null) element.style.setProperty("--p", probability);
    const look = () => show(position), forget = () => show(kept);
    const keep = () => {
      kept = kept === position ? -1 : position;
      elements.forEach((other, place) => other.setAttribute("aria-pressed", String(place === kept)));
      show(kept);
    };
    element.addEventListener("mouseenter", look); element.addEventListener("focus", look);
    element.addEventListener("mouseleave", forget); element.addEventListener("blur", forget);
    element.addEventListener("click", keep);
    element.addEventListener("keydown", event => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); keep(); }
    });
    return element;
  });
  const words = elements.flatMap(element => [element, " "]);
  return make("h3", { className: "caption", id: `c${card.rank}` }, ...(words.length ? words : ["(no words)"]));
}

/** Darkens what the model did not look at while it wrote a word; of no word, -1, nothing. */
function drawAttention(canvas, attention, side, position) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  const start = position * side * side;
  if (position < 0 || attention.length < start + side * side) return;
  const pixels = context.createImageData(side, side);
  for (let i = 0; i < side * side; i++) pixels.data.set([10, 20, 60, 215 * (1 - attention[start + i] / 255)], 4 * i);
  context.putImageData(pixels, 0, 0);
}

function errors(card) {
  if (!card.errors.length) return null;
  return make("ul", { className: "errors", "aria-label": "Errors" }, ...card.errors.map(([type, , said, instead, support]) => {
    const parts = [`${type}: `];
    if (said) parts.push(make("del", {}, said));
    if (said && instead.length) parts.push(" → ");
    if (instead.length) parts.push(make("ins", {}, instead.join(", ")));
    const people = support < 1 ? `${Math.round(100 * support)} % of the people say so` : "";
    return make("li", { title: people }, ...parts, people ? unseen(` (${people})`) : null);
  }));
}

function scores(card) {
  const pairs = [["CIDEr", card.cider.toFixed(1)], ["people's CIDEr", card.human === null ? "unknown" : card.human.toFixed(1)],
    ["BLEU-4", card.bleu.toFixed(1)], ["ROUGE-L", card.rouge.toFixed(1)]];
  return make("dl", { className: "scores" }, ...pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

/** People's captions; words that would mend an error are marked. */
function references(card) {
  const wanted = card.errors.flatMap(one => one[3]).flatMap(word => word.split("_"));
  // "splash" mends what people say with "splashing"; a short word must match as a whole.
  const mends = bare => wanted.some(word => bare === word || bare === `${word}s` || (word.length > 3 && bare.startsWith(word.slice(0, -1))));
  const item = text => make("li", {}, ...text.split(/(\s+)/).map(part => {
    const bare = part.toLowerCase().replace(/[^\p{L}\p{N}'-]/gu, "");
    return mends(bare) ? make("mark", {}, part) : part;
  }));
  return make("ul", { className: "references" }, ...card.references.map(item));
}

function rest(card) {
  const words = card.words.filter(word => word[1] !== null).map(word => `${word[0]} ${Math.round(100 * word[1])} %`).join(", ");
  const nbest = card.nbest.map(([place, text, score]) => make("li", place === card.oracle ? { value: place + 1, className: "oracle", title: "the best of all beams by CIDEr-D" } : { value: place + 1 },
    text, make("span", {}, ` score ${score.toFixed(2)}`), place === card.oracle ? unseen(", the best of all beams by CIDEr-D") : null));
  const parts = [make("summary", {}, "Word by word, other captions, nearest training picture")];
  if (words) parts.push(make("h4", {}, "How sure of each word"), make("p", {}, words));
  parts.push(make("h4", {}, "The search's best captions"), make("ol", { className: "nbest" }, ...nbest));
  if (card.rival) parts.push(make("h4", {}, "The other model said"), make("p", {}, `${card.rival[0]} (CIDEr ${card.rival[1].toFixed(1)})`));
  const near = card.near[3] ? make("img", { className: "near", src: card.near[3], alt: `Training picture ${card.near[0]}` }) : null;
  parts.push(...[make("h4", {}, "Nearest training picture"), near].filter(Boolean), make("p", {}, make("code", {}, card.near[0]), ` (likeness ${card.near[1].toFixed(2)}): ${card.near[2]}`));
  parts.push(make("h4", {}, "Slices"), make("p", {}, card.slices.join(" · ")));
  return make("details", {}, ...parts);
}

/** Moves to the next caption, or back; draws more at the end. */
function step(direction) {
  const shown = [...list.children], current = shown.indexOf(document.activeElement.closest?.("#cards > li"));
  if (direction > 0 && current === shown.length - 1 && !more.hidden) drawMore();
  const next = list.children[Math.max(0, current + direction)];
  if (next) { next.focus(); next.scrollIntoView({ block: "start" }); window.scrollBy(0, -90); }
}

function clear() {
  for (const control of Object.values(controls)) if (control && control.id !== "order") control.value = "";
  update();
}

for (const control of Object.values(controls)) if (control) control.addEventListener("input", update);
for (const button of document.querySelectorAll("button[data-filter]")) {
  button.addEventListener("click", () => {
    controls[button.dataset.filter].value = button.dataset.value;
    update();
    list.scrollIntoView({ block: "start" });
    list.focus();
  });
}
more.addEventListener("click", drawMore);
new IntersectionObserver(entries => { if (entries.some(one => one.isIntersecting) && !more.hidden) drawMore(); }, { rootMargin: "600px" }).observe(more);
document.getElementById("clear").addEventListener("click", clear);
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target.matches("input, select, textarea");
  if (event.key === "Escape") clear();
  else if (isTyping) return;
  else if (event.key === "/") { event.preventDefault(); controls.filter.focus(); }
  else if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
});
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = getComputedStyle(root).colorScheme === "dark"
    || (!root.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  root.dataset.theme = dark ? "light" : "dark";
});
update();
