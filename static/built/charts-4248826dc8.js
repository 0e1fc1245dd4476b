// Draws figure[data-chart]: stacked bars of what the table inside it says. The table is the only source of numbers.
(() => {
  "use strict";

  const HEIGHT = 260;
  const COLOURS = 7;
  const DATES = /^\d{4}-(\d\d-\d\d)(?: (\d\d:\d\d))?/;
  const drawn = new Map();

  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  function read(figure) {
    const heads = [...figure.querySelectorAll("thead th")].slice(1);
    const rows = [...figure.querySelectorAll("tbody tr")];
    const cells = rows.map((row) => [...row.querySelectorAll("td")]);
    return {
      names: heads.map((head) => head.dataset.name || head.textContent.trim()),
      links: heads.map((head) => head.dataset.href),
      labels: rows.map((row) => row.querySelector("th").textContent.trim()),
      places: rows.map((row) => row.querySelector("th a")?.href),
      values: heads.map((_, series) => cells.map((row) => Number(row[series].dataset.value || 0))),
      texts: heads.map((_, series) => cells.map((row) => row[series].textContent.trim())),
    };
  }

  // Bars stand on each other: each series is drawn as high as itself and all after it, the highest first.
  function stacked(values) {
    const sums = values.map((series) => [...series]);
    for (let series = sums.length - 2; series >= 0; series -= 1) {
      sums[series].forEach((value, index) => { sums[series][index] = value + sums[series + 1][index]; });
    }
    return sums;
  }

  function short(label) {
    const parts = DATES.exec(label);
    return parts ? parts[2] || parts[1] : label || "";
  }

  function amount(value, unit, top) {
    if (value === 0) return "0";
    if (!unit.includes("dollar")) return new Intl.NumberFormat("en", { notation: "compact" }).format(value);
    const digits = top >= 10 ? 0 : top >= 0.1 ? 2 : Math.min(8, 2 - Math.floor(Math.log10(top)));
    return `$${value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
  }

  function colours(figure) {
    const style = getComputedStyle(figure);
    const palette = Array.from({ length: COLOURS }, (_, number) => style.getPropertyValue(`--chart-${number + 1}`).trim());
    return { palette, text: style.color, line: style.getPropertyValue("--line").trim(), font: `12px ${style.fontFamily}` };
  }

  function legend(data) {
    const list = make("ul", "chart-legend");
    data.names.forEach((name, number) => {
      const item = make("li");
      const words = make(data.links[number] ? "a" : "span", "", name);
      if (data.links[number]) words.href = data.links[number];
      item.append(make("span", `swatch swatch-${(number % COLOURS) + 1}`), words);
      list.append(item);
    });
    return list;
  }

  function fill(tip, data, index) {
    tip.replaceChildren(make("strong", "", data.labels[index]));
    const list = make("dl");
    data.names.forEach((name, number) => {
      if (data.values[number][index] === 0) return;
      list.append(make("dt", `swatch swatch-${(number % COLOURS) + 1}`), make("dd", "", name), make("dd", "num", data.texts[number][index]));
    });
    tip.append(list.childElementCount ? list : make("p", "soft", "nothing"));
  }

  function point(tip, data) {
    return (plot) => {
      const index = plot.cursor.left >= 0 ? plot.cursor.idx : null;
      tip.hidden = index === null || index === undefined;
      if (tip.hidden) return;
      fill(tip, data, index);
      const middle = plot.valToPos(index, "x") + plot.over.offsetLeft;
      const left = middle + 16 + tip.offsetWidth > plot.width ? middle - 16 - tip.offsetWidth : middle + 16;
      tip.style.left = `${Math.max(0, left)}px`;
    };
  }

  // As wide as the longest of its labels.
  const room = (plot, labels) => Math.max(40, ...(labels || []).map((label) => label.length * 7 + 14));

  function options(figure, data, width, tip) {
    const { palette, text, line, font } = colours(figure);
    const unit = figure.dataset.unit;
    const bars = window.uPlot.paths.bars({ size: [0.72, 64] });
    const axis = { stroke: text, font, ticks: { show: false }, border: { show: true, stroke: line, width: 1 } };
    return {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, range: () => [-0.6, data.labels.length - 0.4] },
        y: { range: (_, low, high) => [0, high > 0 ? high * 1.05 : 1] },
      },
      axes: [
        { ...axis, grid: { show: false }, size: 28, space: 64, incrs: [1, 2, 3, 4, 6, 7, 14, 28, 56], values: (_, places) => places.map((place) => short(data.labels[place])) },
        { ...axis, grid: { stroke: line, width: 1 }, size: room, label: unit, labelSize: 20, labelFont: font, labelGap: 2, values: (plot, places) => places.map((place) => amount(place, unit, plot.scales.y.max)) },
      ],
      series: [{}, ...data.names.map((name, number) => ({
        label: name, stroke: palette[number % COLOURS], fill: palette[number % COLOURS], width: 0, paths: bars, points: { show: false },
      }))],
      hooks: { setCursor: [point(tip, data)] },
    };
  }

  function draw(figure) {
    const place = figure.querySelector("[data-plot]");
    const data = read(figure);
    const tip = make("div", "chart-tip");
    tip.hidden = true;
    place.replaceChildren();
    place.hidden = false;
    const picture = make("div", "chart-picture");
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", `${figure.querySelector("figcaption").textContent.trim()}. The same numbers are in the table below.`);
    place.append(picture, tip);
    if (data.names.length > 1) place.append(legend(data));
    const series = [data.labels.map((_, index) => index), ...stacked(data.values)];
    const plot = new window.uPlot(options(figure, data, picture.clientWidth, tip), series, picture);
    drawn.set(figure, plot);
    if (data.places.some(Boolean)) follow(picture, plot, data);
  }

  // A click on a bar leads to where its row leads.
  function follow(picture, plot, data) {
    picture.dataset.follow = "";
    plot.over.addEventListener("click", () => {
      const place = data.places[plot.cursor.idx];
      if (place) location.assign(place);
    });
  }

  function drawAll(root) {
    for (const [figure, plot] of drawn) {
      if (!figure.isConnected) {
        plot.destroy();
        drawn.delete(figure);
      }
    }
    root.querySelectorAll("figure[data-chart]").forEach((figure) => { if (!drawn.has(figure)) draw(figure); });
  }

  addEventListener("resize", () => {
    for (const plot of drawn.values()) plot.setSize({ width: plot.root.parentElement.clientWidth, height: HEIGHT });
  });
  document.addEventListener("themechange", () => {
    for (const [figure, plot] of drawn) {
      plot.destroy();
      draw(figure);
    }
  });
  // What renews itself waits while somebody reads its chart.
  document.addEventListener("htmx:beforeRequest", (event) => {
    const { elt } = event.detail;
    const renews = (elt.getAttribute("hx-trigger") || "").startsWith("every");
    if (renews && elt.querySelector("figure[data-chart] :is(.twin[open], [data-plot]:hover)")) event.preventDefault();
  });
  document.addEventListener("htmx:load", () => drawAll(document));
  drawAll(document);
})();
