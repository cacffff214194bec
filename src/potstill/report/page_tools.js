"use strict";
// Downloads and the page's address. What is saved is on the page already: nothing is requested.
(() => {
  function save(name, type, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // A file opened without a server may have no clipboard; then the address is shown to be copied.
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return false;
    }
  }

  for (const button of document.querySelectorAll("[data-download]")) {
    const data = document.getElementById(button.dataset.download);
    button.addEventListener("click", () => save(button.dataset.name, "application/json", data.textContent));
  }
  const link = document.getElementById("copy-link");
  link?.addEventListener("click", async () => {
    link.textContent = (await copy(location.href)) ? "copied" : location.href;
    setTimeout(() => { link.textContent = "copy link"; }, 4000);
  });
  for (const row of document.querySelectorAll(".downloads")) row.hidden = false;
})();
