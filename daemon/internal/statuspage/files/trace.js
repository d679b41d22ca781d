// The trace of one message: what is known of it, and what each milter said.

import { el, plain, number, bytes, took } from "./text.js";

const ms = (ns) => took(ns / 1e6);

// showTrace fills the details element of a message, once.
export async function showTrace(details, n) {
	if (details.dataset.has) return;
	const place = details.querySelector(".trace");
	try {
		const answer = await fetch("message.json?n=" + n, { cache: "no-store" });
		if (answer.status === 404) { place.textContent = "That message is not kept any more."; return; }
		if (!answer.ok) throw new Error();
		const m = await answer.json();
		details.dataset.has = "yes";
		place.replaceChildren(facts(m), ...steps(m), ...changes(m));
	} catch {
		place.textContent = "milterkit did not answer; close this and open it again.";
	}
}

function facts(m) {
	const list = [
		["Outcome", [m.outcome === "aborted" && m.refused && !m.rcpts ? "aborted, as no recipient was taken" : m.outcome, m.code && m.code + " " + m.reply, m.by && "by " + m.by + (m.at ? " at " + m.at : "")].filter(Boolean).join(", ")],
		["Queue id", m.queue_id], ["Session", m.session], ["Client", [m.client, m.addr && m.addr !== m.client && m.addr, m.helo && "HELO " + m.helo, m.auth && "as " + m.auth].filter(Boolean).join(", ")],
		["From", m.sender === undefined ? "" : m.sender || "<>"],
		["To", [...(m.to ?? []), m.rcpts > (m.to ?? []).length && `${number(m.rcpts - m.to.length)} more`].filter(Boolean).join(", ")], ["Refused", m.refused ? number(m.refused) + (m.refused === 1 ? " recipient" : " recipients") : ""],
		["Message-ID", m.message_id], ["Body", m.size ? bytes(m.size) : ""], ["Time", m.took ? ms(m.took) : ""],
	];
	return el("dl", {}, ...list.filter(([, v]) => v !== undefined && v !== "").flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, plain(v))]));
}

function steps(m) {
	if (!m.steps?.length) return [el("p", {}, "No milter was asked.")];
	const row = (s) => {
		const verdict = s.condition ? "condition " + s.condition : [s.verdict, s.code && s.code + " " + s.reply].filter(Boolean).join(" ");
		const bad = s.error || s.code >= 400;
		return el("tr", { role: "row" }, el("td", { role: "cell", class: "n after" }, s.after < 0 ? "before" : ms(s.after)),
			el("th", { role: "rowheader", scope: "row" }, plain(s.milter), el("span", { class: "more" }, plain(s.at) + (s.to ? " " + plain(s.to) : "") + (s.calls ? `, ${s.calls} pieces` : ""))),
			el("td", { role: "cell", class: "answer" + (bad ? " bad" : "") }, plain(verdict), s.error ? el("span", { class: "more bad" }, plain(s.error)) : ""),
			el("td", { role: "cell", class: "n" }, ms(s.took)));
	};
	const head = (text, kind) => el("th", { role: "columnheader", scope: "col", class: kind }, text);
	return [el("table", { role: "table" }, el("caption", {}, "What each milter was asked and said" + (m.more_steps ? `; ${number(m.more_steps)} steps are left out` : "")),
		el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, head("After", "n after"), head("Milter, stage"), head("Answer", "answer"), head("Took", "n"))),
		el("tbody", { role: "rowgroup" }, ...m.steps.map(row)))];
}

function changes(m) {
	const list = (m.milters ?? []).filter((x) => x.edits);
	return list.flatMap((x) => [el("p", {}, `${plain(x.name)} ${x.shadow ? "would have made" : "asked for"} ${x.edits === 1 ? "one change" : number(x.edits) + " changes"}:`),
		el("ul", {}, ...(x.changes ?? []).map((c) => el("li", {}, plain([c.op, c.index ? "#" + c.index : "", c.name, c.value, c.bytes ? bytes(c.bytes) : ""].filter(Boolean).join(" ")))))]);
}
