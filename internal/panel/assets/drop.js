// A file that is dropped on the form for imports is sent at once.

const form = /** @type {HTMLFormElement | null} */ (document.getElementById("drop"));
const input = /** @type {HTMLInputElement | null} */ (form?.querySelector("input[type=file]") ?? null);
if (form && input) {
  for (const kind of ["dragenter", "dragover"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      form.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) form.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("over");
    const files = event.dataTransfer?.files;
    if (!files || files.length === 0) return;
    input.files = files;
    form.requestSubmit();
  });
}
