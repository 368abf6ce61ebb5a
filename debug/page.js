
// The page is fetched anew and what differs is changed in place, so that there is one
// description of it, and neither a selection nor the reader's place is lost.
(() => {
	"use strict";
	const root = document.documentElement;
	const since = document.getElementById("since");
	const hold = document.getElementById("hold");
	const every = 1000, patience = 10000; // ms
	let timer = 0, held = false, running = false, seen = new Date();

	document.getElementById("live").hidden = false;
	hold.addEventListener("click", () => {
		held = !held;
		hold.textContent = held ? "Resume" : "Pause";
		next(0);
	});
	document.addEventListener("visibilitychange", () => next(0));
	tell("", "Live");
	next(every);

	function next(wait) {
		clearTimeout(timer);
		if (held) {
			tell("stopped", "Paused");
		} else if (!document.hidden && !running) {
			timer = setTimeout(renew, wait);
		}
	}

	async function renew() {
		running = true;
		try {
			const answer = await fetch(location.href, {
				headers: { Accept: "text/html" }, cache: "no-store", signal: AbortSignal.timeout(patience),
			});
			const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
			const main = fresh.getElementById("pacers");
			if (!answer.ok || !main) {
				throw new Error(answer.status);
			}
			if (!held) {
				become(document.getElementById("pacers"), main);
				become(document.querySelector("link[rel=icon]"), fresh.querySelector("link[rel=icon]"));
				document.title = fresh.title;
				seen = new Date();
				tell("", "Live");
			}
		} catch {
			tell("lost", "No answer since " + seen.toLocaleTimeString());
		}
		running = false;
		next(every);
	}

	function tell(state, text) {
		root.className = state;
		if (since.textContent !== text) {
			since.textContent = text;
		}
	}

	// become makes a node what another is, touching only what differs.
	function become(old, fresh) {
		if (old.nodeName !== fresh.nodeName) {
			old.replaceWith(document.importNode(fresh, true));
			return;
		}
		if (old.nodeType === Node.TEXT_NODE) {
			if (old.data !== fresh.data) {
				old.data = fresh.data;
			}
			return;
		}
		for (const a of fresh.attributes) {
			if (old.getAttribute(a.name) !== a.value) {
				old.setAttribute(a.name, a.value);
			}
		}
		for (const a of [...old.attributes]) {
			if (!fresh.hasAttribute(a.name)) {
				old.removeAttribute(a.name);
			}
		}
		const have = [...old.childNodes], want = [...fresh.childNodes];
		want.forEach((node, i) => {
			if (i < have.length) {
				become(have[i], node);
			} else {
				old.append(document.importNode(node, true));
			}
		});
		have.slice(want.length).forEach((node) => node.remove());
	}
})();
