// Elements without a template language. Text is only ever text: nothing here, or anywhere, parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element. Properties: `class`, `on` (listeners by event), `data` (data attributes); all others are attributes. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (name === "data") Object.assign(node.dataset, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** One of the symbols in index.html. It decorates: what it means stands beside it in words. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** Shows another symbol in the same place. */
export function setIcon(svg, name) {
  const href = `#icon-${name}`;
  const use = svg.firstChild;
  if (use.getAttribute("href") !== href) use.setAttribute("href", href);
}

/** Touches the document only where something has changed: with a thousand rows that is what counts. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

export function button(text, { kind = "", symbol = null, ...properties }, pressed) {
  const children = symbol ? [icon(symbol), el("span", {}, text)] : [text];
  return el("button", { type: "button", class: `button ${kind}`.trim(), ...properties, on: { click: pressed } }, ...children);
}
