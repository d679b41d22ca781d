// The page asks for /status.json every two seconds while somebody can see it.

import { el, set, plain, number, bytes, took, age, at, zone, outcomes, outcomeWords } from "./text.js";
import { bars, steps, lines, decades, moment } from "./draw.js";
import { showTrace } from "./trace.js";

const every = 2000, patience = 6000;
const spans = { hour: ["last hour", "a minute", "a minute"], day: ["last 24 hours", "15 minutes", "15 minutes"], month: ["last 30 days", "6 hours", "6 hours"] };
const $ = (id) => document.getElementById(id);

let last = null;      // the last answer
let timer = 0, asking = null;
let gone = null;      // since when there is no answer
let paused = false;

// ---- asking ----

async function ask() {
	clearTimeout(timer);
	asking?.abort();
	const mine = asking = new AbortController();
	const limit = setTimeout(() => mine.abort(), patience);
	try {
		const span = document.querySelector("[name=span]:checked").value;
		const answer = await fetch("status.json?span=" + span, { signal: mine.signal, cache: "no-store" });
		if (!answer.ok) throw new Error(await answer.text());
		last = await answer.json();
		gone = null;
		show(last);
	} catch (e) {
		if (mine !== asking) return; // another one has taken over
		gone ??= new Date();
	} finally {
		clearTimeout(limit);
	}
	live();
	if (!paused && !document.hidden) timer = setTimeout(ask, every);
}

// live says whether what is shown is of now.
function live() {
	const on = !gone && !paused;
	$("dot").className = "dot" + (gone ? " off" : on ? " on" : "");
	document.body.classList.toggle("gone", gone !== null);
	if (gone) set("live", `milterkit does not answer since ${at(gone)}; asking again`);
	else if (paused) set("live", `Paused${last ? " at " + at(last.now) : ""}`);
	else set("live", last && !last.ready ? "milterkit is ending" : "Live");
	document.title = (gone ? "(gone) " : troubles(last) ? `(${troubles(last)}) ` : "") + (last ? `${last.program} on ${plain(last.host)}` : "milterkit");
}

const troubles = (s) => s ? s.milters.filter((m) => m.state === "down" || m.state === "failing").length + (s.refused_reload ? 1 : 0) : 0;

document.addEventListener("visibilitychange", () => {
	clearTimeout(timer);
	if (!document.hidden && !paused) ask();
});
$("pause").addEventListener("click", () => {
	paused = !paused;
	$("pause").setAttribute("aria-pressed", paused);
	if (paused) { clearTimeout(timer); live(); } else ask();
});
for (const radio of document.getElementsByName("span")) radio.addEventListener("change", ask);

// ---- showing ----

function show(s) {
	set("program", s.program);
	set("host", `on ${plain(s.host)}, running for ${age((new Date(s.now) - new Date(s.started)) / 1000)}`);
	alarms(s);
	tiles(s);
	history(s);
	milters(s);
	messages($("refused"), s.refused, s, "Nothing has been refused.");
	messages($("slowest"), s.slowest, s, "There have been no messages in the last 24 hours.");
	configuration(s);
	set("zone", "Times are in " + zone() + ".");
	set("unsaved", s.unsaved ? "The history ends with the process: " + s.unsaved : "The history is kept over restarts.");
	set("version", `${s.program} ${s.version}, started ${at(s.started, s.now)}`);
}

function alarms(s) {
	const list = [];
	if (s.refused_reload) list.push(["The configuration was not loaded again", `${at(s.refused_reload.at, s.now)}: generation ${s.generation} stays in effect.\n${s.refused_reload.error}`, ""]);
	for (const m of s.milters) {
		if (m.state === "down") list.push([`${m.name} is down`, ending(m), ""]);
		if (m.state === "failing") list.push([`${m.name} fails`, ending(m), "warn"]);
	}
	const key = JSON.stringify(list);
	if ($("alarms").dataset.key === key) return;
	$("alarms").dataset.key = key;
	$("alarms").replaceChildren(...list.map(([title, text, kind]) => el("div", { class: "alarm " + kind }, el("b", {}, plain(title)), el("span", { class: "lines" }, text.split("\n").map(plain).join("\n")))));
}

// ending is why a milter does not answer, and what becomes of messages.
function ending(m) {
	const what = m.shadow ? "It is a shadow: messages do not depend on it." : { tempfail: "Messages are deferred.", accept: "Messages pass without it.", reject: "Messages are rejected.", discard: "Messages are discarded.", quarantine: "Messages are quarantined." }[m.default_action];
	return `${m.since ? "Since " + at(m.since, last.now) + ": " : ""}${m.why}\n${what}`;
}

function tiles(s) {
	const sum = (x) => outcomes.reduce((n, o) => n + x.messages[o], 0);
	const words = (x) => outcomes.filter((o) => o !== "accept" && x.messages[o]).map((o) => number(x.messages[o]) + "\u00a0" + outcomeWords[o]).join(", ") || "all accepted";
	const list = [
		["Messages, last minute", number(sum(s.minute)), "", `${number(sum(s.hour))}\u00a0in\u00a0the\u00a0hour, ${number(sum(s.day))}\u00a0in\u00a0the\u00a0day`],
		["Not accepted, last hour", number(sum(s.hour) - s.hour.messages.accept), sum(s.hour) ? ` of ${number(sum(s.hour))}` : "", sum(s.hour) ? words(s.hour) : "no messages"],
		["Sessions", number(s.sessions.now), s.sessions.max ? ` of ${number(s.sessions.max)}` : "", (s.sessions.waiting ? `${number(s.sessions.waiting)} wait for a place, ` : "") + `at most ${number(s.hour.peak)} in the hour`, s.sessions.now, s.sessions.max],
		["Memory for messages", bytes(s.memory.messages), s.memory.max_messages ? ` of ${bytes(s.memory.max_messages)}` : "", bytes(s.memory.process) + " the whole process", s.memory.messages, s.memory.max_messages],
	];
	const place = $("tiles");
	list.forEach(([name, big, small, sub, part, all], i) => {
		let tile = place.children[i];
		if (!tile) {
			tile = el("div", {}, el("dt", {}), el("dd", {}, el("div", { class: "big" }, el("span", {}), el("small", {})), el("div", { class: "sub" })));
			place.append(tile);
		}
		set(tile.querySelector("dt"), name);
		set(tile.querySelector(".big span"), big);
		set(tile.querySelector(".big small"), small);
		set(tile.querySelector(".sub"), sub);
		if (all) meter(tile, part / all);
	});
}

// meter draws how much of a limit is used; the number beside it says the same.
function meter(tile, part) {
	let m = tile.querySelector("svg");
	if (!m) {
		const ns = "http://www.w3.org/2000/svg";
		m = document.createElementNS(ns, "svg");
		for (const [k, v] of [["class", "meter"], ["viewBox", "0 0 100 4"], ["preserveAspectRatio", "none"], ["aria-hidden", "true"]]) m.setAttribute(k, v);
		for (const name of ["all", "part"]) {
			const r = document.createElementNS(ns, "rect");
			for (const [k, v] of [["class", name], ["width", 100], ["height", 4]]) r.setAttribute(k, v);
			m.append(r);
		}
		tile.querySelector("dd").append(m);
	}
	m.lastChild.setAttribute("width", Math.min(100, part * 100));
}

function history(s) {
	const x = s.series, words = spans[x.span];
	document.querySelectorAll(".per").forEach((e) => set(e, words[1] + " a bar"));
	document.querySelectorAll(".each").forEach((e) => set(e, "each " + words[2].replace("a ", "")));
	document.querySelectorAll(".over").forEach((e) => set(e, words[0]));
	const totals = Object.fromEntries(outcomes.map((o) => [o, x.messages[o].reduce((a, b) => a + b, 0)]));
	$("legend").replaceChildren(...outcomes.map((o) => el("li", { class: totals[o] ? "" : "none" }, el("i", { class: o }), el("span", {}, el("b", {}, number(totals[o])), " " + outcomeWords[o]))));
	const said = outcomes.filter((o) => totals[o]).map((o) => number(totals[o]) + " " + outcomeWords[o]).join(", ") || "no messages";
	bars($("outcomes"), x, `Messages by outcome in the ${words[0]}: ${said}. The figures are in the table below.`);
	steps($("sessions"), x, x.peak, `Sessions at one time in the ${words[0]}: at most ${number(Math.max(...x.peak))}. The figures are in the table below.`);
	if ($("figures").open) figures(x);
}

function figures(x) {
	const rows = x.peak.map((_, i) => i).reverse().filter((i) => x.peak[i] || x.sessions[i] || outcomes.some((o) => x.messages[o][i]));
	table($("figures"), "Newest first; times without any are left out.", ["From", ...outcomes.map((o) => outcomeWords[o]), "sessions begun", "at one time"],
		rows.map((i) => [moment(x, i), ...outcomes.map((o) => number(x.messages[o][i])), number(x.sessions[i]), number(x.peak[i])]));
}

function timeFigures(s) {
	const known = s.milters.map((m) => part(s, m)), x = s.series;
	const rows = x.peak.map((_, i) => i).reverse().filter((i) => known.some((m) => m.messages[i]));
	table($("timefigures"), "p50 / p95, newest first; times without any messages are left out.", ["From", ...known.map((m) => plain(m.name))],
		rows.map((i) => [moment(x, i), ...known.map((m) => m.messages[i] ? took(m.p50[i]) + " / " + took(m.p95[i]) : "–")]));
}

// table fills the table of a details element.
function table(details, caption, heads, rows) {
	details.querySelector("div").replaceChildren(el("table", {}, el("caption", {}, caption),
		el("thead", {}, el("tr", {}, ...heads.map((h, i) => el("th", { scope: "col", class: i ? "n" : "" }, h)))),
		el("tbody", {}, ...rows.map((r) => el("tr", {}, ...r.map((v, i) => i ? el("td", { class: "n" }, v) : el("th", { scope: "row" }, v)))))));
}
$("figures").addEventListener("toggle", () => last && $("figures").open && figures(last.series));
$("timefigures").addEventListener("toggle", () => last && $("timefigures").open && timeFigures(last));

// part is what the history knows of a milter.
function part(s, m) {
	const none = s.series.peak.map(() => 0), nothing = none.map(() => null);
	return s.series.milters.find((x) => x.name === m.name) ?? { name: m.name, messages: none, failures: none, p50: nothing, p95: nothing, total: { messages: 0, failures: 0, p50: null, p95: null } };
}

const stateWords = { up: "up", down: "down", failing: "failing", unknown: "not asked yet" };

function milters(s) {
	$("rows").replaceChildren(...s.milters.map((m) => {
		const t = part(s, m).total;
		const notes = [m.kind === "native" ? "native " + m.where : m.where, m.shadow && "shadow", m.together && "together with the one before", m.when && "when " + m.when].filter(Boolean).map(plain).join(" · ");
		const bad = m.state === "down" || m.state === "failing";
		const cell = (label, text, kind) => el("td", { role: "cell", class: "n " + (kind ?? ""), "data-label": label }, text);
		return el("tr", { role: "row", class: m.state },
			el("th", { role: "rowheader", scope: "row" }, el("b", {}, plain(m.name)), " ", el("span", { class: "badge " + m.state }, stateWords[m.state] + (bad && m.since ? " since " + at(m.since, s.now) : "")),
				el("span", { class: "where" }, notes), bad ? el("span", { class: "why" }, plain(m.why)) : ""),
			cell("Messages", number(t.messages)), cell("Failed", number(t.failures), t.failures ? "some" : ""), cell("p50", took(t.p50)), cell("p95", took(t.p95)));
	}));
	const place = $("times"), known = s.milters.map((m) => part(s, m)), range = decades(known);
	while (place.children.length > known.length) place.lastChild.remove();
	known.forEach((m, i) => {
		let f = place.children[i];
		if (!f) {
			f = el("figure", {}, el("figcaption", {}, el("b", {}), el("span", {})), el("div", { class: "drawing" }));
			place.append(f);
		}
		set(f.querySelector("b"), plain(m.name));
		set(f.querySelector("span"), m.total.messages ? `${took(m.total.p50)} / ${took(m.total.p95)}` : "no messages");
		lines(f.querySelector(".drawing"), s.series, m, range, `Time of ${plain(m.name)} for a message in the ${spans[s.series.span][0]}: ` +
			(m.total.messages ? `p50 ${took(m.total.p50)}, p95 ${took(m.total.p95)}, ${number(m.total.failures)} of ${number(m.total.messages)} failed.` : "no messages.") + " The figures are in the table below.");
	});
	if ($("timefigures").open) timeFigures(s);
}

// messages shows a list, the first few until more is asked for. What is there already
// stays, so that what is open stays open, and what has the focus keeps it.
const few = 10;
function messages(place, list, s, none) {
	const there = new Map([...place.querySelectorAll(":scope > details")].map((d) => [d.dataset.n, d]));
	const shown = place.dataset.all ? list : list.slice(0, few);
	const rows = shown.map((m) => there.get(String(m.n)) ?? row(m, s));
	if (!rows.length) rows.push(place.querySelector("p") ?? el("p", {}, none));
	if (shown.length < list.length) {
		const more = place.querySelector(":scope > button") ?? el("button", { type: "button" });
		set(more, `Show ${list.length - few} more`);
		more.onclick = () => {
			place.dataset.all = "yes";
			messages(place, last[place.id], last, none);
			place.children[few]?.querySelector("summary").focus();
		};
		rows.push(more);
	}
	const wanted = new Set(rows);
	[...place.children].forEach((e) => wanted.has(e) || e.remove());
	rows.forEach((r, i) => place.children[i] === r || place.insertBefore(r, place.children[i] ?? null));
}

function row(m, s) {
	const whom = m.from === undefined ? `session of ${plain(m.client) || "an unknown client"}` : `${plain(m.from) || "<>"} → ${plain(m.to) || "no recipient"}${m.rcpts > 1 ? ` and ${m.rcpts - 1} more` : ""}`;
	const said = [m.by && "by " + plain(m.by), m.code && plain(m.code + " " + m.reply)].filter(Boolean).join(": ");
	const d = el("details", { "data-n": m.n },
		el("summary", {}, el("span", { class: "when" }, at(m.time, s.now)), el("span", { class: "state" }, el("span", { class: "badge is-" + (outcomes.includes(m.outcome) ? m.outcome : "aborted") }, outcomeWords[m.outcome] ?? plain(m.outcome))),
			el("span", { class: "whom" }, whom), el("span", { class: "took" }, took(m.took_ms)), said ? el("span", { class: "said" }, said) : ""),
		el("div", { class: "trace" }, "Loading…"));
	d.addEventListener("toggle", () => d.open && showTrace(d, m.n), { once: false });
	return d;
}

let shownGeneration = null;
function configuration(s) {
	set("loaded", `Generation ${s.generation}, loaded ${at(s.loaded, s.now)}.`);
	const key = s.generation + " " + s.started;
	if ($("config").open && shownGeneration !== key) {
		shownGeneration = key;
		fetch("config.toml", { cache: "no-store" }).then((r) => r.text()).then((t) => set($("config").querySelector("pre"), t), () => { shownGeneration = null; });
	}
}
$("config").addEventListener("toggle", () => last && configuration(last));

let width = innerWidth;
addEventListener("resize", () => {
	if (innerWidth !== width && last) { width = innerWidth; history(last); milters(last); }
});
ask();
