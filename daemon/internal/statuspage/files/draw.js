// Drawings: bars of outcomes, and lines of times, as SVG that is as wide as its place.

import { outcomes, outcomeWords, number, took, hourOf, dayOf } from "./text.js";

const left = 46, right = 8;

function svg(name, attributes, text) {
	const e = document.createElementNS("http://www.w3.org/2000/svg", name);
	for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
	if (text !== undefined) e.textContent = text;
	return e;
}

// sheet is an empty drawing, with what stands at its sides.
function sheet(place, height, label) {
	const width = Math.max(200, Math.floor(place.clientWidth));
	const s = svg("svg", { class: "chart", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
	return { s, width, height, bottom: height - 18, top: 14 };
}

// xOf is where a point is.
const xOf = (c, points, i) => left + (c.width - left - right) * i / points;

// timeAxis writes hours or days below the drawing, where they begin.
function timeAxis(c, series, points) {
	const room = Math.max(2, Math.floor((c.width - left - right) / 64));
	const steps = series.step < 900 ? [5, 10, 15, 30].map((m) => m * 60) : series.step < 3600 ? [2, 3, 4, 6, 12].map((h) => h * 3600) : [1, 2, 5, 10].map((d) => d * 86400);
	const all = points * series.step;
	const every = steps.find((s) => all / s <= room) ?? steps[steps.length - 1];
	const offset = new Date(series.start * 1000).getTimezoneOffset() * 60;
	for (let i = 0; i < points; i++) {
		const t = series.start + i * series.step, local = t - offset;
		if (Math.floor(local / every) === Math.floor((local - series.step) / every)) continue;
		const x = xOf(c, points, i);
		if (x > c.width - right - 16) continue;
		c.s.append(svg("line", { class: "base", x1: x, x2: x, y1: c.bottom, y2: c.bottom + 4 }));
		c.s.append(svg("text", { x, y: c.height - 2, "text-anchor": "middle" }, every >= 86400 ? dayOf(t * 1000) : hourOf(t * 1000)));
	}
	c.s.append(svg("line", { class: "base", x1: left, x2: c.width - right, y1: c.bottom, y2: c.bottom }));
}

// scale returns the end of an axis of numbers from 0, and its steps.
function scale(most) {
	const power = 10 ** Math.floor(Math.log10(Math.max(1, most)));
	const step = [0.2, 0.5, 1, 2, 5].map((f) => f * power).find((s) => s >= 1 && most / s <= 4) ?? power;
	return { end: Math.max(step, Math.ceil(most / step) * step), step };
}

function numberAxis(c, most) {
	const { end, step } = scale(most);
	const y = (v) => c.bottom - (c.bottom - c.top) * v / end;
	for (let v = step; v <= end + step / 2; v += step) {
		c.s.append(svg("line", { class: "grid", x1: left, x2: c.width - right, y1: y(v), y2: y(v) }));
		c.s.append(svg("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, v >= 10000 ? number(v / 1000) + "k" : number(v)));
	}
	return y;
}

// reading shows the figures of the point below the pointer.
function reading(c, series, points, text) {
	const line = svg("line", { class: "at", y1: c.top, y2: c.bottom, visibility: "hidden" });
	const words = svg("text", { class: "read", y: 10, visibility: "hidden" });
	c.s.append(line, words);
	c.s.addEventListener("pointermove", (e) => {
		const box = c.s.getBoundingClientRect();
		const i = Math.floor((e.clientX - box.left - left) / (c.width - left - right) * points);
		const on = i >= 0 && i < points;
		for (const x of [line, words]) x.setAttribute("visibility", on ? "visible" : "hidden");
		if (!on) return;
		const x = xOf(c, points, i + 0.5), late = x > c.width / 2;
		line.setAttribute("x1", x); line.setAttribute("x2", x);
		words.setAttribute("x", late ? x - 5 : x + 5);
		words.setAttribute("text-anchor", late ? "end" : "start");
		words.textContent = moment(series, i) + "  " + text(i);
	});
	c.s.addEventListener("pointerleave", () => [line, words].forEach((x) => x.setAttribute("visibility", "hidden")));
}

// moment is the beginning of a point in words.
export function moment(series, i) {
	const t = (series.start + i * series.step) * 1000;
	return series.step >= 3600 ? dayOf(t) + ", " + hourOf(t) : hourOf(t);
}

// bars draws messages by outcome, one above the other.
export function bars(place, series, label) {
	const points = series.peak.length;
	const sums = series.peak.map((_, i) => outcomes.reduce((n, o) => n + series.messages[o][i], 0));
	const c = sheet(place, 190, label);
	const y = numberAxis(c, Math.max(...sums));
	const wide = (c.width - left - right) / points;
	const gap = wide > 4 ? 1 : 0.4;
	for (const [k, o] of outcomes.entries()) {
		const path = [];
		for (let i = 0; i < points; i++) {
			const n = series.messages[o][i];
			if (!n) continue;
			let below = 0;
			for (let j = 0; j < k; j++) below += series.messages[outcomes[j]][i];
			const from = y(below), to = y(below + n);
			path.push(`M${(xOf(c, points, i) + gap / 2).toFixed(1)} ${from.toFixed(1)}h${(wide - gap).toFixed(1)}V${to.toFixed(1)}h${(gap - wide).toFixed(1)}z`);
		}
		if (path.length) c.s.append(svg("path", { class: o, d: path.join("") }));
	}
	timeAxis(c, series, points);
	reading(c, series, points, (i) => outcomes.filter((o) => series.messages[o][i]).map((o) => number(series.messages[o][i]) + " " + outcomeWords[o]).join(", ") || "no messages");
	place.replaceChildren(c.s);
}

// steps draws a number that changes from point to point.
export function steps(place, series, values, label) {
	const points = values.length, c = sheet(place, 90, label);
	const y = numberAxis(c, Math.max(...values));
	let d = `M${left} ${c.bottom}`;
	values.forEach((v, i) => { d += `L${xOf(c, points, i).toFixed(1)} ${y(v).toFixed(1)}H${xOf(c, points, i + 1).toFixed(1)}`; });
	c.s.append(svg("path", { class: "area", d: d + `V${c.bottom}z` }));
	c.s.append(svg("path", { class: "p50", d: d.replace(/^M[^L]*L/, "M") }));
	timeAxis(c, series, points);
	reading(c, series, points, (i) => number(values[i]) + " at one time");
	place.replaceChildren(c.s);
}

// decades returns the powers of ten around all the times, in milliseconds, so that
// drawings of several milters can be compared.
export function decades(milters) {
	const all = milters.flatMap((m) => [...m.p50, ...m.p95]).filter((v) => v !== null);
	if (!all.length) return [0, 3];
	const low = Math.floor(Math.log10(Math.max(0.1, Math.min(...all)))), high = Math.ceil(Math.log10(Math.max(1, ...all)));
	return [low, Math.max(high, low + 2)];
}

// lines draws p50 and p95 of one milter, and where it failed.
export function lines(place, series, m, [low, high], label) {
	const points = m.p50.length, c = sheet(place, 120, label);
	const y = (ms) => c.bottom - (c.bottom - c.top) * (Math.log10(Math.max(ms, 10 ** low)) - low) / (high - low);
	const sparse = high - low > 4 ? 2 : 1;
	for (let p = low; p <= high; p++) {
		c.s.append(svg("line", { class: "grid", x1: left, x2: c.width - right, y1: y(10 ** p), y2: y(10 ** p) }));
		if ((p - low) % sparse === 0) c.s.append(svg("text", { x: left - 6, y: y(10 ** p) + 4, "text-anchor": "end" }, p >= 3 ? 10 ** (p - 3) + " s" : 10 ** p + " ms"));
	}
	const x = (i) => xOf(c, points, i + 0.5).toFixed(1);
	let p50 = "", p95 = "", area = "";
	for (let i = 0; i < points; i++) {
		if (m.p50[i] === null) continue;
		let end = i;
		while (end + 1 < points && m.p50[end + 1] !== null) end++;
		const to = [], back = [];
		for (let k = i; k <= end; k++) {
			to.push(`${x(k)} ${y(m.p50[k]).toFixed(1)}`);
			back.push(`${x(k)} ${y(m.p95[k]).toFixed(1)}`);
		}
		const dash = i === end ? "m-2 0h4" : ""; // a line of one point would not be seen
		p50 += "M" + to.join("L") + dash;
		p95 += "M" + back.join("L") + dash;
		area += "M" + to.join("L") + "L" + back.reverse().join("L") + "z";
		i = end;
	}
	c.s.append(svg("path", { class: "area", d: area }), svg("path", { class: "p95", d: p95 }), svg("path", { class: "p50", d: p50 }));
	const wide = Math.max(2, (c.width - left - right) / points - 1);
	m.failures.forEach((n, i) => {
		if (n) c.s.append(svg("rect", { class: "failed", x: (xOf(c, points, i + 0.5) - wide / 2).toFixed(1), y: c.bottom - 6, width: wide.toFixed(1), height: 6 }));
	});
	timeAxis(c, series, points);
	reading(c, series, points, (i) => m.messages[i] ? `p50 ${took(m.p50[i])}, p95 ${took(m.p95[i])}` + (m.failures[i] ? `, ${number(m.failures[i])} failed` : "") : "no messages");
	place.replaceChildren(c.s);
}
