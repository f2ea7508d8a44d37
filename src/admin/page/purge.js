// What is to go, said twice before it does.

const KINDS = {
  tag: { name: "Tag", hint: "Entries that bear this tag, by Cache-Tag, Surrogate-Key, or as the application says.", what: (value) => `Entries with the tag “${value}”` },
  pattern: { name: "Label pattern", hint: "A glob over labels, such as chat:gpt-4o or chat:*; with * ? [abc] and \\.", what: (value) => `Entries whose label matches “${value}”` },
  key: { name: "Key", hint: "A label, a colon and 64 hexadecimal digits, as entries are listed.", what: (value) => `The entry with the key “${value}”` },
  all: { name: "", hint: "All that is kept.", what: () => "All entries" },
};

const kindOfPurge = () => document.querySelector("#purge input[name=kind]:checked").value;

function sayPurge() {
  const kind = kindOfPurge();
  by("purge-what").hidden = kind === "all";
  text(by("purge-name"), KINDS[kind].name);
  text(by("purge-hint"), KINDS[kind].hint);
}

function saidOfPurge(said, isBad) {
  by("purged").dataset.kind = isBad ? "bad" : "good";
  by("purged").textContent = said;
}

/** Fills the form in; nothing goes before it is sent. */
function purgeLabel(label) {
  document.querySelector("#purge input[value=pattern]").checked = true;
  sayPurge();
  by("purge-value").value = label.replace(/[\\*?[\]]/g, "\\$&");
  by("purge-value").focus();
}

/** Asks in a dialog whether this is meant. */
function confirmed(what, button, counting) {
  const dialog = by("confirm");
  text(by("confirm-what"), `${what} will be removed, from every tier. What is asked for again is fetched anew, and paid for.`);
  text(by("confirm-count"), "Counting…");
  text(by("confirm-yes"), button);
  let isOpen = true;
  return new Promise((resolve) => {
    let meant = false;
    counting.then(({ said, refused }) => {
      if (!isOpen) return;
      text(by("confirm-count"), said ?? "");
      if (refused) {
        saidOfPurge(refused, true);
        dialog.close();
      }
    });
    const yes = () => { meant = true; dialog.close(); };
    const no = () => dialog.close();
    by("confirm-yes").addEventListener("click", yes);
    by("confirm-no").addEventListener("click", no);
    dialog.addEventListener("close", () => {
      isOpen = false;
      by("confirm-yes").removeEventListener("click", yes);
      by("confirm-no").removeEventListener("click", no);
      resolve(meant);
    }, { once: true });
    dialog.showModal();
    by("confirm-no").focus();
  });
}

/** How many entries are meant, as far as a few pages tell; or why the question makes no sense. */
async function countMeant(query) {
  const params = new URLSearchParams(query);
  params.delete("all");
  params.set("limit", "1000");
  let [seen, pages] = [0, 0];
  for (;;) {
    const { data, status, problem } = await ask(`api/cache/entries?${params}`);
    if (status === 400 || status === 404) return { refused: problem };
    if (!data) return { said: "How many that are can't be said beforehand." };
    [seen, pages] = [seen + data.entries.length, pages + 1];
    if (!data.next) return { said: seen === 0 ? "None match now." : `${counted(seen, "entry matches", "entries match")} now.` };
    if (pages === 3) return { said: `${plain.format(seen)} entries or more match now.` };
    params.set("cursor", data.next);
  }
}

async function purge(event) {
  event.preventDefault();
  const [kind, value, space] = [kindOfPurge(), by("purge-value").value.trim(), by("purge-space").value];
  if (kind !== "all" && value === "") {
    saidOfPurge(`Say which ${KINDS[kind].name.toLowerCase()} is meant.`, true);
    by("purge-value").focus();
    return;
  }
  saidOfPurge("", false);
  const params = new URLSearchParams();
  if (kind !== "all") params.set(kind, value);
  else if (!space) params.set("all", "true");
  if (space) params.set("space", space);
  const what = `${KINDS[kind].what(value)} ${space ? `in the space “${space}”` : "in all spaces"}`;
  const isMeant = await confirmed(what, kind === "all" ? "Purge everything" : "Purge", countMeant(params));
  if (!isMeant) return;
  const { data, problem } = await ask(`api/cache?${params}`, "DELETE", 60000);
  if (!data) {
    saidOfPurge(problem, true);
    return;
  }
  const spaces = Object.entries(data.spaces).filter(([, number]) => number > 0);
  const where = spaces.length > 1 ? `: ${spaces.map(([name, number]) => `${plain.format(number)} in ${name}`).join(", ")}` : "";
  saidOfPurge(`${counted(data.purged, "entry was", "entries were")} removed${where}.`, false);
  readLabels();
  poll();
}
