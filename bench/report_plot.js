// SPDX-License-Identifier: BSD-3-Clause
// The report's plots: axes, curves with whiskers and bands, a legend, and a reader under the pointer.
'use strict';

const SVG = 'http://www.w3.org/2000/svg';
const PLOT = {width: 640, height: 320, left: 66, right: 18, top: 12, bottom: 46};
const WIDE = 1200; // a plot that has a line of the page for itself

// make('td', {class: 'number'}, 'text', otherElement...)
function make(name, attributes, ...children) {
  const isSvg = ['svg', 'g', 'path', 'line', 'circle', 'text', 'rect'].includes(name);
  const element = isSvg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  element.append(...children.filter(child => child !== null && child !== undefined));
  return element;
}

// ---- numbers ---------------------------------------------------------------------------------

const short = number => String(Number(number.toPrecision(3)));

function nsText(ns) {
  if (!(ns > 0)) return '0 ns';
  const units = [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [0, 'ns']];
  const [size, unit] = units.find(([least]) => Number(ns.toPrecision(3)) >= least);
  return short(ns / (size || 1)) + ' ' + unit;
}

// 0.001 is better told as 1/1000.
function timesText(ratio) {
  if (ratio >= 0.1 || !(ratio > 0)) return short(ratio) + ' ×';
  return '1/' + (ratio > 0.00101 ? short(1 / ratio) : short(1e-3 / ratio) + 'k') + ' ×';
}

function percentileText(percentile) {
  return String(Number(percentile.toFixed(7))) + ' %';
}

function countText(count) {
  return count.toLocaleString('en');
}

// ---- axes: place(value) is 0..1 along the axis -----------------------------------------------

function linearAxis(highest) {
  const rough = highest / 5, decade = 10 ** Math.floor(Math.log10(rough));
  const step = decade * [1, 2, 2.5, 5, 10].find(factor => factor * decade >= rough * 0.999);
  const end = Math.ceil(highest / step - 1e-9) * step;
  const ticks = [];
  for (let i = 0; i * step <= end * 1.0001; i++) ticks.push(i * step);
  return {ticks, place: value => value / end};
}

function logAxis(lowest, highest) {
  const first = Math.floor(Math.log10(lowest)), last = Math.ceil(Math.log10(highest));
  const steps = last - first <= 2 ? [1, 2, 5] : [1];
  let ticks = [];
  for (let decade = first; decade <= last; decade++)
    for (const step of steps) ticks.push(step * 10 ** decade);
  const begin = Math.max(...ticks.filter(tick => tick <= lowest * 1.0001));
  const end = Math.min(...ticks.filter(tick => tick >= highest * 0.9999));
  ticks = ticks.filter(tick => tick >= begin && tick <= end);
  const low = Math.log10(begin), span = Math.log10(end) - low || 1;
  while (ticks.length > 9) ticks = ticks.filter((tick, i) => i % 2 === 0);
  return {ticks, place: value => (Math.log10(Math.max(value, begin)) - low) / span};
}

// Logarithmic where a linear one would press most values onto the bottom.
function valueAxis(values) {
  const known = values.filter(value => value > 0);
  if (known.length === 0) return linearAxis(1);
  const lowest = Math.min(...known), highest = Math.max(...known);
  return highest / lowest > 12 ? logAxis(lowest, highest) : linearAxis(highest);
}

// The conditions that were measured, each where it belongs; labels that would touch are left out.
function scaleAxis(scales) {
  const sorted = [...new Set(scales)].sort((a, b) => a - b);
  const low = sorted[0], high = sorted[sorted.length - 1];
  const bend = high / low >= 8 ? Math.log : value => value;
  const span = bend(high) - bend(low) || 1;
  const place = value => 0.03 + 0.94 * (bend(value) - bend(low)) / span;
  const ticks = [];
  for (const scale of sorted)
    if (!ticks.length || place(scale) - place(ticks[ticks.length - 1]) > 0.055) ticks.push(scale);
  return {ticks, place};
}

// 0, 50, 90, 99, 99.9 %...: each step leaves a tenth. Values are 1/(1-p).
function percentileAxis(count) {
  const decades = Math.max(1, Math.log10(count));
  const ticks = [1, 2];
  for (let decade = 1; decade <= decades + 1e-9; decade++) ticks.push(10 ** decade);
  return {ticks, place: rest => Math.log10(rest) / decades};
}

// ---- plots -----------------------------------------------------------------------------------

function stroke(curve) {
  return `stroke:${curve.colour};stroke-width:${curve.width || 2};fill:none;` +
      (curve.dash ? `stroke-dasharray:${curve.dash};` : '');
}

function drawAxes(svg, frame, plot) {
  const bottom = frame.y(0);
  for (const tick of plot.y.ticks) {
    const y = frame.y(plot.y.place(tick));
    svg.append(make('line', {class: 'grid', x1: PLOT.left, x2: plot.width - PLOT.right, y1: y, y2: y}),
               make('text', {x: PLOT.left - 8, y: y + 4, 'text-anchor': 'end'}, plot.yText(tick)));
  }
  let labelEnd = -Infinity;
  for (const tick of plot.x.ticks) {
    const x = frame.x(plot.x.place(tick)), label = plot.xText(tick);
    svg.append(make('line', {class: 'grid', x1: x, x2: x, y1: PLOT.top, y2: bottom}));
    const half = 3.6 * label.length;
    if (x - half < labelEnd + 4) continue;
    labelEnd = x + half;
    const middle = Math.min(x, plot.width - half);
    svg.append(make('text', {x: middle, y: bottom + 17, 'text-anchor': 'middle'}, label));
  }
  const right = plot.width - PLOT.right, middle = (PLOT.left + right) / 2;
  svg.append(make('line', {class: 'axis', x1: PLOT.left, x2: right, y1: bottom, y2: bottom}),
             make('text', {x: middle, y: PLOT.height - 8, 'text-anchor': 'middle'}, plot.xTitle));
}

function drawCurve(svg, place, curve) {
  const at = curve.points.map(point => ({...point, px: place.x(point), py: place.y(point.y)}));
  if (curve.hasBand) {
    const there = at.map(point => `${point.px},${point.py}`);
    const back = at.map(point => `${point.px},${place.y(point.high)}`).reverse();
    svg.append(make('path', {d: `M${there.concat(back).join('L')}Z`,
                             style: `fill:${curve.colour};opacity:0.13`}));
  }
  if (!curve.hasNoLine)
    svg.append(make('path', {d: 'M' + at.map(point => `${point.px},${point.py}`).join('L'),
                             style: stroke(curve), 'stroke-linejoin': 'round'}));
  for (const point of at) {
    if (curve.hasWhiskers && point.low > 0)
      svg.append(make('line', {x1: point.px, x2: point.px, y1: place.y(point.low), y2: place.y(point.high),
                               style: `stroke:${curve.colour};stroke-width:1.5`}));
    if (curve.hasDots || point.isEnd)
      svg.append(make('circle', {cx: point.px, cy: point.py, r: 3.5, style: `fill:${curve.colour}`}));
  }
}

// What each curve says at the pointer.
function attachReader(figure, svg, plot, frame) {
  const box = make('div', {class: 'reader'});
  const rule = make('line', {class: 'axis', y1: PLOT.top, y2: PLOT.height - PLOT.bottom, x1: -9, x2: -9});
  svg.append(rule);
  figure.append(box);
  svg.addEventListener('pointerleave', () => {
    box.style.display = 'none';
    rule.setAttribute('x1', -9);
    rule.setAttribute('x2', -9);
  });
  svg.addEventListener('pointermove', event => {
    const area = svg.getBoundingClientRect(), outer = figure.getBoundingClientRect();
    const x = (event.clientX - area.left) * plot.width / area.width;
    let best = null;
    for (const curve of plot.curves)
      for (const point of curve.points) {
        const px = frame.x(plot.x.place(point.x));
        if (!best || Math.abs(px - x) < Math.abs(best.px - x)) best = {px, x: point.x, text: point.xText};
      }
    rule.setAttribute('x1', best.px);
    rule.setAttribute('x2', best.px);
    box.replaceChildren(make('b', {}, best.text));
    for (const curve of plot.curves) {
      const point = curve.points.filter(one => one.x <= best.x * 1.0001).pop();
      if (!point || curve.isQuiet) continue;
      const mark = make('span', {style: `color:${curve.colour}`}, '● ');
      box.append(make('br'), mark, `${curve.name}: ${plot.yText(point.y)}`);
    }
    box.style.display = 'block';
    const left = event.clientX - outer.left;
    const isRight = left > outer.width / 2;
    box.style.left = (isRight ? left - box.offsetWidth - 14 : left + 14) + 'px';
    box.style.top = Math.max(4, event.clientY - outer.top - box.offsetHeight - 8) + 'px';
  });
}

function legendOf(curves) {
  const legend = make('div', {class: 'legend'});
  const seen = new Set();
  for (const curve of curves) {
    if (seen.has(curve.legend)) continue;
    seen.add(curve.legend);
    const style = `border-color:${curve.colour};border-top-style:${curve.dash ? 'dashed' : 'solid'}`;
    legend.append(make('span', {}, make('i', {style}), curve.legend));
  }
  return legend;
}

function frameOf(title, note, svg, isWide) {
  const caption = make('figcaption', {}, make('h3', {}, title), make('span', {class: 'soft'}, note));
  return make('figure', isWide ? {class: 'wide'} : {}, caption, make('div', {class: 'scroll'}, svg));
}

// plot: {title, note, isWide, x, y, xTitle, xText(tick), yText(value), mark: a y that matters, curves}, the
// last curve on top. null when there is nothing to draw.
function drawPlot(plot) {
  plot.curves = plot.curves.filter(curve => curve.points.length);
  if (!plot.curves.length) return null;
  plot.width = plot.isWide ? WIDE : PLOT.width;
  const frame = {
    x: share => PLOT.left + share * (plot.width - PLOT.left - PLOT.right),
    y: share => PLOT.height - PLOT.bottom - share * (PLOT.height - PLOT.top - PLOT.bottom),
  };
  const svg = make('svg', {class: 'plot', viewBox: `0 0 ${plot.width} ${PLOT.height}`, role: 'img',
                           'aria-label': plot.title});
  drawAxes(svg, frame, plot);
  if (plot.mark) {
    const y = frame.y(plot.y.place(plot.mark));
    svg.append(make('line', {x1: PLOT.left, x2: plot.width - PLOT.right, y1: y, y2: y,
                             style: 'stroke:var(--soft);stroke-dasharray:2 3'}));
  }
  const place = {x: point => frame.x(plot.x.place(point.x)), y: value => frame.y(plot.y.place(value))};
  for (const curve of plot.curves) drawCurve(svg, place, curve);
  const figure = frameOf(plot.title, plot.note, svg, plot.isWide);
  attachReader(figure, svg, plot, frame);
  figure.append(legendOf([...plot.curves].reverse()));
  return figure;
}

// Ratios that lie on no common axis: a row each. rows: [{label, colour, median, p10, p90}].
function drawRows(title, note, rows) {
  if (!rows.length) return null;
  const longest = Math.max(...rows.map(row => row.label.length));
  const left = Math.min(520, 14 + 6.6 * longest), height = rows.length * 22 + 40;
  const axis = valueAxis(rows.flatMap(row => [row.p10, row.p90, row.median, 1]));
  const x = value => left + axis.place(value) * (WIDE - left - 70);
  const svg = make('svg', {class: 'plot', viewBox: `0 0 ${WIDE} ${height}`, role: 'img',
                           'aria-label': title});
  for (const tick of axis.ticks)
    svg.append(make('line', {class: 'grid', x1: x(tick), x2: x(tick), y1: 6, y2: height - 28}),
               make('text', {x: x(tick), y: height - 10, 'text-anchor': 'middle'}, timesText(tick)));
  svg.append(make('line', {x1: x(1), x2: x(1), y1: 6, y2: height - 28,
                           style: 'stroke:var(--soft);stroke-dasharray:2 3'}));
  rows.forEach((row, i) => {
    const y = 20 + i * 22, colour = row.colour;
    const most = Math.floor((left - 14) / 6.6);
    const label = row.label.length > most ? row.label.slice(0, most - 1) + '…' : row.label;
    svg.append(make('text', {x: left - 12, y: y + 4, 'text-anchor': 'end'}, label),
               make('line', {x1: x(row.p10), x2: x(row.p90), y1: y, y2: y,
                             style: `stroke:${colour};stroke-width:1.5`}),
               make('circle', {cx: x(row.median), cy: y, r: 4, style: `fill:${colour}`}),
               make('text', {class: 'halo', x: x(Math.max(row.p90, row.median)) + 8, y: y + 4},
                    timesText(row.median)));
  });
  return frameOf(title, note, svg, true);
}
