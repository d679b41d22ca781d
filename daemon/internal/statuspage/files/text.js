// Numbers and times as text, and elements made of text. What comes from mail gets into
// the page through here only, as text.

export const outcomes = ["accept", "quarantine", "discard", "tempfail", "reject", "aborted"];
export const outcomeWords = { accept: "accepted", quarantine: "quarantined", discard: "discarded", tempfail: "deferred", reject: "rejected", aborted: "aborted" };

// el makes an element with classes, attributes and children, which are elements or text.
export function el(name, attributes, ...children) {
	const e = document.createElement(name);
	for (const [key, value] of Object.entries(attributes || {})) {
		if (value !== undefined && value !== null && value !== false) e.setAttribute(key, value === true ? "" : value);
	}
	e.append(...children.filter((c) => c !== null && c !== undefined && c !== ""));
	return e;
}

// plain shows characters that print nothing, or turn the text around, as what they are.
export function plain(text) {
	return String(text ?? "").replace(/[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, (c) => c === "\n" ? " ⏎ " : "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

// set gives an element a text, if that is not the one that it has.
export function set(id, text) {
	const e = typeof id === "string" ? document.getElementById(id) : id;
	if (e.textContent !== text) e.textContent = text;
}

const whole = new Intl.NumberFormat();
export const number = (n) => whole.format(n);

export function bytes(n) {
	for (const unit of ["B", "KiB", "MiB", "GiB"]) {
		if (n < 1024 || unit === "GiB") return (n >= 100 || unit === "B" || n === Math.round(n) ? Math.round(n) : n.toFixed(1)) + " " + unit;
		n /= 1024;
	}
}

// time is a time in milliseconds in short.
export function took(ms) {
	if (ms === null || ms === undefined) return "–";
	if (ms < 1) return ms < 0.1 ? "< 0.1 ms" : ms.toFixed(1) + " ms";
	if (ms < 10) return ms.toFixed(1) + " ms";
	if (ms < 1000) return Math.round(ms) + " ms";
	return ms < 10000 ? (ms / 1000).toFixed(1) + " s" : Math.round(ms / 1000) + " s";
}

export function age(seconds) {
	const s = Math.max(0, Math.round(seconds));
	if (s < 60) return s + " s";
	if (s < 3600) return Math.floor(s / 60) + " min";
	if (s < 48 * 3600) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
	return Math.floor(s / 86400) + " days " + Math.floor(s % 86400 / 3600) + " h";
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const short = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const date = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

export const hourOf = (t) => short.format(t);
export const dayOf = (t) => date.format(t);

// at is a moment: the time, with the day where that is not today's.
export function at(t, now) {
	t = new Date(t);
	return t.toDateString() === new Date(now ?? Date.now()).toDateString() ? clock.format(t) : date.format(t) + ", " + clock.format(t);
}

// zone names the time zone that times are shown in.
export function zone() {
	const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
	const part = new Intl.DateTimeFormat("en", { timeZoneName: "longOffset" }).formatToParts(new Date()).find((p) => p.type === "timeZoneName");
	return name + (part && part.value !== name ? " (" + part.value + ")" : "");
}
