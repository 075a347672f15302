// Sends "Report this caption" to POST /feedback, and says in the same place what became of it.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  const report = form.closest(".cg-report");
  if (!report) return;
  event.preventDefault();
  if (report.dataset.state === "sending") return;
  report.dataset.state = "sending";
  const said = report.querySelector("[role=status]");
  said.textContent = "Sending …";
  try {
    const answer = await send(new FormData(form));
    form.remove();
    report.dataset.state = "sent";
    said.textContent = `Thank you. The number of your report is ${answer.id}`;
    said.focus();
  } catch (error) {
    report.dataset.state = "refused";
    said.textContent = error.message;
  }

  async function send(body) {
    if (body.get("consent")) body.set("image", await shownPicture());
    const response = await fetch(form.action, { method: "POST", body });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    return answer;
  }

  // The file as it was uploaded: the receipt is for these very bytes.
  async function shownPicture() {
    const shown = document.querySelector("#photograph img");
    const file = shown && (await fetch(shown.src));
    if (!file || !file.ok) throw new Error("The picture is no longer here: caption it again, or take back the tick.");
    return file.blob();
  }
});
