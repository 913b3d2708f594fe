// Carries a launch's secret across the EHR's sign-in where no cookie survives it: it stays in this tab, on this site.
"use strict";
{
  const { step, name, secret } = document.currentScript.dataset;
  const onward = document.getElementById("onward");
  const key = `bedside-launch-${name}`;
  const remember = () => {
    try {
      sessionStorage.setItem(key, secret);
    } catch {
      // A frame without storage: the cookie may still arrive, and if not the page says so.
    }
  };
  const recall = () => {
    try {
      const kept = sessionStorage.getItem(key);
      sessionStorage.removeItem(key);
      return kept;
    } catch {
      return null;
    }
  };
  if (step === "leaving") {
    remember();
    if (onward instanceof HTMLFormElement) onward.submit();
    else location.replace(onward.href);
  } else if (step === "returning") {
    history.replaceState(null, "", "/smart/callback");
    const kept = recall();
    if (kept) {
      onward.elements.secret.value = kept;
      onward.submit();
    }
  } else {
    onward.submit();
  }
}
