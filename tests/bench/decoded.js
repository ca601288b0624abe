// SPDX-License-Identifier: BSD-3-Clause
// Usage: node decoded.js MODULES RESULT.json DIRECTORY
// Holds the files of one `ioreq-bench --export DIRECTORY` to the result of the same run, by a decoder that
// is not ours.
'use strict';
const fs = require('fs');
const path = require('path');
const [modules, resultFile, directory] = process.argv.slice(2);
const hdr = require(path.join(modules, 'hdr-histogram-js'));
const result = JSON.parse(fs.readFileSync(resultFile, 'utf8'));

let failures = 0, compared = 0;
function fail(what) {
    console.log('failed: ' + what);
    failures++;
}

const safe = name => name.replace(/[^A-Za-z0-9_]+/g, '-').replace(/^-|-$/g, '');
const read = file => fs.readFileSync(path.join(directory, file), 'utf8');

// The result is in ns of one operation, the files in whole ns of a sample: half a ns for rounding, and
// what a bucket of three digits holds.
function isNear(fileValue, resultNs, operations) {
    const expected = resultNs * operations;
    return Math.abs(fileValue - expected) <= 0.51 + expected / 1000;
}

// The same words and numbers; a number may be rounded either way.
const lines = text => text.trim().split('\n');
const words = line => (line || '').replace(/[\[\],=]/g, ' ').trim().split(/ +/);
function isSameText(left, right) {
    const a = words(left), b = words(right);
    return a.length === b.length && a.every((word, i) =>
        word === b[i] || Math.abs(Number(word) - Number(b[i])) <= 0.0011 + Math.abs(word) * 1e-9);
}

function compare(point, series) {
    const stem = [result.bench, point.name, series.name].map(safe).join('.');
    const expect = (what, value, ns) => {
        if (!isNear(value, ns, series.operations))
            fail(`${stem}: ${what} is ${value}, expected ${ns} * ${series.operations}`);
    };
    const log = new hdr.HistogramLogReader(read(stem + '.hlog'));
    const histogram = log.nextIntervalHistogram();
    if (histogram.totalCount !== series.count)
        fail(`${stem}.hlog: count ${histogram.totalCount}, expected ${series.count}`);
    expect('.hlog p50', histogram.getValueAtPercentile(50), series['p50']);
    expect('.hlog p99', histogram.getValueAtPercentile(99), series['p99']);
    expect('.hlog p99.9', histogram.getValueAtPercentile(99.9), series['p99.9']);
    expect('.hlog max', histogram.maxValue, series['max']);
    if (log.nextIntervalHistogram())
        fail(`${stem}.hlog: more than one interval`);

    const expected = lines(histogram.outputPercentileDistribution(5, series.operations));
    const printed = lines(read(stem + '.hgrm'));
    const at = expected.findIndex((line, i) => !isSameText(line, printed[i]));
    if (at >= 0 || printed.length !== expected.length)
        fail(`${stem}.hgrm, line ${at + 1}: '${printed[at]}', expected '${expected[at]}'`);

    const thread = JSON.parse(read(stem + '.json')).thread['0'];
    const total = Object.values(thread.histogram).reduce((sum, count) => sum + count, 0);
    const keys = Object.keys(thread.histogram).map(Number);
    if (total !== series.count || thread.cycles !== series.count)
        fail(`${stem}.json: ${total} in the histogram, ${thread.cycles} cycles, expected ${series.count}`);
    if (series.count && (Math.min(...keys) !== thread.min || Math.max(...keys) !== thread.max))
        fail(`${stem}.json: min ${thread.min}, max ${thread.max} are not in the histogram`);
    expect('.json max', thread.max, series['max']);
    compared++;
}

result.points.forEach(point => point.series.forEach(series => compare(point, series)));
console.log(`${result.bench}: ${compared} series compared with their files`);
process.exit(failures || !compared ? 1 : 0);
