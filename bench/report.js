// SPDX-License-Identifier: BSD-3-Clause
// The report: what is wanted and what was reached, then each question with its plots and figures. Knows no
// question by name: points with a scale are drawn against it, and every point has its distribution.
'use strict';

const PERCENTILES = ['p50', 'p99', 'p99.9', 'p99.99', 'max'];
const BASELINE_COLOURS = 6;
const DASHES = ['', '7 3', '2 3', '9 3 2 3'];

// ---- which curve a series is -----------------------------------------------------------------

// A baseline keeps its colour through a question.
function styleOf(result, series) {
  if (series.role === 'ours') return {colour: 'var(--ours)', width: 3, rank: 4, legend: series.name};
  if (series.role === 'limit' && series.is_best)
    return {colour: 'var(--limit)', width: 2.5, rank: 3, legend: `the limit: ${series.name}`};
  if (series.role === 'limit')
    return {colour: 'var(--others)', width: 1, rank: 0, legend: 'other limits', isQuiet: true};
  const names = [...new Set(result.points.flatMap(point => point.series)
                                .filter(one => one.role === 'baseline').map(one => one.name))];
  const index = names.indexOf(series.name);
  return {colour: `var(--baseline${index % BASELINE_COLOURS})`, width: 2, rank: 2, legend: series.name,
          dash: DASHES[index % DASHES.length]};
}

const byRank = (a, b) => a.rank - b.rank;

// ---- plots of a question ---------------------------------------------------------------------

function distributionPlot(result, point) {
  const filled = point.series.filter(series => series.count > 0 && series.distribution.length);
  const most = Math.max(...filled.map(series => series.count));
  const curves = filled.map(series => {
    const points = series.distribution.map(pair => ({
      // Not beyond what as many samples can tell.
      x: Math.min(series.count, 1 / Math.max(1 - pair.percentile / 100, 1e-12)),
      y: pair.ns,
      xText: percentileText(pair.percentile),
      isEnd: pair.percentile === 100,
    }));
    return {name: series.name, points, ...styleOf(result, series)};
  });
  curves.sort(byRank);
  return drawPlot({
    title: `Latency: ${point.name}`, note: 'the dot is the maximum', isWide: true,
    x: percentileAxis(most), y: valueAxis(curves.flatMap(curve => curve.points.map(one => one.y))),
    xTitle: 'percentile', yText: nsText, curves,
    xText: rest => percentileText(100 * (1 - 1 / rest)),
  });
}

// Points of one kind: what is left of their names without the scale. "random, 256 ranges" -> "random".
function familiesOf(result) {
  const families = new Map();
  const unit = (result.scale_name || '').replace(/s$/, '').replace(/[^A-Za-z0-9 ]/g, '.');
  for (const point of result.points.filter(one => one.scale > 0)) {
    const name = point.name.replace(new RegExp(`\\b${point.scale}\\b`), '')
                     .replace(new RegExp(`\\b${unit}s?\\b`, 'i'), '')
                     .replace(/^[\s,:x×]+|[\s,:]+$/g, '').replace(/\s+/g, ' ');
    if (!families.has(name)) families.set(name, []);
    families.get(name).push(point);
  }
  return [...families].filter(([, points]) => new Set(points.map(one => one.scale)).size > 1);
}

// The fastest limit, whichever it is at each point, is one curve; the others are none.
function scaleCurves(result, points, pick) {
  const curves = new Map();
  for (const point of points)
    for (const series of point.series) {
      if (series.role === 'limit' && !series.is_best) continue;
      const picked = pick(series);
      if (!picked) continue;
      const name = series.role === 'limit' ? 'the limit (the fastest)' : series.name;
      if (!curves.has(name))
        curves.set(name, {...styleOf(result, series), name, legend: name, points: [], hasDots: true});
      curves.get(name).points.push({x: point.scale, xText: point.name, ...picked});
    }
  const sorted = [...curves.values()].sort(byRank);
  sorted.forEach(curve => curve.points.sort((a, b) => a.x - b.x));
  return sorted;
}

function costPlot(result, name, points) {
  const curves = scaleCurves(result, points, series =>
    series.count > 0 ? {y: series.p50, high: series.p99} : null);
  curves.forEach(curve => { curve.hasBand = curve.colour === 'var(--ours)' && curve.points.length > 1; });
  const values = curves.flatMap(curve =>
    curve.points.flatMap(one => curve.hasBand ? [one.y, one.high] : [one.y]));
  return drawPlot({
    title: `Cost against ${result.scale_name}${name ? ': ' + name : ''}`,
    note: 'p50; the shade reaches from ours to its p99', x: scaleAxis(points.map(one => one.scale)),
    y: valueAxis(values), xTitle: result.scale_name, xText: String, yText: nsText, curves,
  });
}

function ratioPlot(result, name, points) {
  const curves = scaleCurves(result, points, series => {
    const ratio = series.ours_to_it;
    return ratio ? {y: ratio.median, low: ratio.p10, high: ratio.p90} : null;
  });
  curves.forEach(curve => { curve.hasWhiskers = true; });
  const values = curves.flatMap(curve => curve.points.flatMap(one => [one.y, one.low, one.high]));
  return drawPlot({
    title: `Ours to it${name ? ': ' + name : ''}`,
    note: 'p50 to p50, below 1 ours is faster; whiskers: p10 to p90 of the blocks',
    x: scaleAxis(points.map(one => one.scale)), y: valueAxis(values.concat(1)), mark: 1,
    xTitle: result.scale_name, xText: String, yText: timesText, curves,
  });
}

function ratioRows(result, inFamilies) {
  const rows = [];
  for (const point of result.points.filter(one => !inFamilies.has(one)))
    for (const series of point.series) {
      if (!series.ours_to_it || (series.role === 'limit' && !series.is_best)) continue;
      const label = result.points.length > 1 ? `${point.name}: ${series.name}` : series.name;
      rows.push({label, colour: styleOf(result, series).colour, ...series.ours_to_it});
    }
  return drawRows('Ours to it', 'p50 to p50, below 1 ours is faster; lines: p10 to p90 of the blocks',
                  rows);
}

// ---- tables ----------------------------------------------------------------------------------

function table(titles, rows, numbersFrom) {
  const cell = (name, content, i) =>
    make(name, i >= numbersFrom ? {class: 'number'} : {}, ...[].concat(content));
  return make('div', {class: 'scroll'}, make('table', {},
              make('tr', {}, ...titles.map((title, i) => cell('th', title, i))),
              ...rows.map(row => make('tr', {}, ...row.map((content, i) => cell('td', content, i))))));
}

function percentileTable(point) {
  const rows = point.series.map(series => {
    const ratio = series.ours_to_it;
    return [series.name, series.is_best ? 'the limit' : series.role, countText(series.count),
            ...PERCENTILES.map(name => series.count ? nsText(series[name]) : '-'),
            ratio ? `${short(ratio.median)} (${short(ratio.p10)} .. ${short(ratio.p90)})` : ''];
  });
  return table(['', '', 'samples', ...PERCENTILES, 'ours to it'], rows, 2);
}

function factTable(facts) {
  const rows = Object.entries(facts).map(([name, value]) =>
    [name.replace(/_/g, ' '), typeof value === 'number' ? String(Number(value.toPrecision(6))) : value]);
  return rows.length ? table(['also measured', ''], rows, 2) : null;
}

function reachRows(results) {
  return results.flatMap(result => result.reach.map(reach => {
    const isAtLeast = 'at_least' in reach;
    const verdict = make('span', {class: reach.reached ? 'good' : 'bad'},
                         reach.reached ? '✓ reached' : '✗ not reached');
    return [make('a', {href: '#' + result.bench, style: 'color:inherit'}, result.bench), reach.name,
            short(reach.value), `${isAtLeast ? 'at least' : 'at most'} ` +
            short(isAtLeast ? reach.at_least : reach.at_most), verdict];
  }));
}

// ---- the page --------------------------------------------------------------------------------

function pointDetails(result, point, isOpen) {
  const ours = point.series.find(series => series.role === 'ours');
  const limit = point.series.find(series => series.is_best);
  let headline = '';
  if (ours && ours.count) headline = `p50 ${nsText(ours.p50)}, p99.9 ${nsText(ours['p99.9'])}`;
  if (limit && limit.ours_to_it) headline += `; ${timesText(limit.ours_to_it.median)} the limit`;
  const attributes = isOpen ? {open: ''} : {};
  return make('details', attributes,
              make('summary', {}, make('b', {}, point.name), make('span', {class: 'soft'}, headline)),
              distributionPlot(result, point), percentileTable(point));
}

function machineText(machine) {
  return `${machine.cpu}, Linux ${machine.kernel}, isolated CPUs: ${machine.isolated || 'none'}, ` +
      `governor: ${machine.governor || 'unknown'}; ioreqd ${machine.version}, commit ${machine.commit}, ` +
      `${machine.build} build`;
}

function question(result, isSameMachine) {
  const parameters = Object.entries(result.parameters).map(([name, value]) => `${name} ${value}`);
  const families = familiesOf(result);
  const inFamilies = new Set(families.flatMap(([, points]) => points));
  const plots = families.flatMap(([name, points]) =>
    [costPlot(result, name, points), ratioPlot(result, name, points)]).concat(ratioRows(result, inFamilies));
  const shown = plots.filter(plot => plot);
  return make('section', {id: result.bench}, make('h2', {}, result.bench), make('p', {}, result.summary),
              parameters.length ? make('p', {class: 'soft'}, parameters.join(', ')) : null,
              result.smoke ? make('p', {class: 'bad'}, 'A smoke run: no measurement.') : null,
              isSameMachine ? null : make('p', {class: 'soft'}, machineText(result.machine)),
              shown.length ? make('div', {class: 'plots'}, ...shown) : null,
              ...result.points.map((point, i) => pointDetails(result, point, i === 0)),
              factTable(result.facts));
}

// The only limit of a point is its best, also where no blocks were compared.
function markLimits(result) {
  for (const point of result.points) {
    const limits = point.series.filter(series => series.role === 'limit');
    if (limits.length === 1) limits[0].is_best = true;
  }
  return result;
}

// A file that is no result does not keep the others from being shown.
function readResults() {
  const results = [], problems = [];
  for (const script of document.querySelectorAll('script.result')) {
    try {
      const result = JSON.parse(script.textContent);
      if (!result.bench || !Array.isArray(result.points)) throw new Error('no result of ioreq-bench');
      results.push(markLimits({parameters: {}, facts: {}, reach: [], machine: {}, ...result}));
    } catch (error) {
      problems.push(`${script.dataset.name}: ${error.message}`);
    }
  }
  for (const script of document.querySelectorAll('script.failed'))
    problems.push(`${script.dataset.name} failed; what is shown of it, if anything, is older.`);
  return {results, problems};
}

function report() {
  const page = document.getElementById('report'), {results, problems} = readResults();
  const machines = new Set(results.map(result => machineText(result.machine)));
  const soft = text => make('p', {class: 'soft'}, text);
  const warning = text => make('div', {class: 'warning'}, text);
  page.append(make('h1', {}, 'ioreq-bench'),
              soft(JSON.parse(document.querySelector('script.date').textContent)));
  if (machines.size === 1) page.append(soft(machineText(results[0].machine)));
  page.append(soft('No absolute time is a claim: what counts is the ratio to what ran beside it, in short ' +
                   'blocks, in turn.'));
  if (results.some(result => result.smoke))
    page.append(warning('Some of these are smoke runs of a second: to see that it works, not to measure.'));
  problems.forEach(problem => page.append(warning(problem)));
  if (!results.length) page.append(warning('There are no results yet. Run bench/run.sh.'));
  page.append(make('nav', {}, ...results.map(result => make('a', {href: '#' + result.bench}, result.bench))));
  const rows = reachRows(results);
  if (rows.length) {
    const reached = results.flatMap(result => result.reach).filter(reach => reach.reached).length;
    page.append(make('h2', {}, 'What is wanted, and what was reached'),
                make('p', {}, `${reached} of ${rows.length} reached.`),
                table(['question', 'figure', 'measured', 'wanted', ''], rows, 9));
  }
  page.append(...results.map(result => question(result, machines.size === 1)));
}

report();
