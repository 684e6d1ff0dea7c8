"use strict";
// Served to requests without a token. Fetches the dashboard with the tab's token and replaces this form by it. The code
// is in a block of its own, because the dashboard's scripts run in the same global scope afterwards.
{
  const KEPT_AS = "streamwarm.token";
  const REFUSED = "This token is not one of the service’s.";
  const form = document.getElementById("sign-in");
  const input = document.getElementById("token");
  const refusal = document.getElementById("refusal");
  const policy = window.trustedTypes?.createPolicy("sign-in", { createHTML: (html) => html });

  const show = (text) => {
    refusal.textContent = text;
    form.hidden = false;
    input.focus();
    input.select();
  };

  const enter = async (token) => {
    const headers = { Accept: "text/html", Authorization: `Bearer ${token}` };
    const answer = await fetch("/", { headers, cache: "no-store", credentials: "omit" });
    if (answer.status === 401) {
      sessionStorage.removeItem(KEPT_AS);
      throw new Error(REFUSED);
    }
    if (!answer.ok) throw new Error(`The service answered ${answer.status}. Try again shortly.`);
    const html = await answer.text();
    sessionStorage.setItem(KEPT_AS, token);
    document.open();
    document.write(policy ? policy.createHTML(html) : html);
    document.close();
  };

  const attempt = (token) =>
    enter(token).catch((error) => show(error instanceof TypeError ? "The service cannot be reached." : error.message));

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    // The service has no tokens with other characters, and no header can contain them.
    const token = input.value.trim();
    if (/^[\x20-\x7e]+$/.test(token)) attempt(token);
    else show(REFUSED);
  });

  const kept = sessionStorage.getItem(KEPT_AS);
  if (kept) attempt(kept);
  else show("");
}
