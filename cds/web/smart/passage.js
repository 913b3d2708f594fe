// Carries a launch's secret across the EHR's sign-in where no cookie survives it. It stays in this tab's storage; where
// a browser denies a frame its storage, in the frame's name, which only pages shown in this very frame can read, and
// only the EHR can frame us.
"use strict";
{
  const { step, name, secret } = document.currentScript.dataset;
  const onward = document.getElementById("onward");
  const key = `bedside-launch-${name}`;
  const framed = window !== window.top;
  const remember = () => {
    try {
      sessionStorage.setItem(key, secret);
    } catch {
      if (framed) window.name = `${key} ${secret} ${window.name}`;
    }
  };
  const recall = () => {
    try {
      const kept = sessionStorage.getItem(key);
      sessionStorage.removeItem(key);
      return kept;
    } catch {
      const [kept, value, ...before] = window.name.split(" ");
      if (!framed || kept !== key) return null;
      window.name = before.join(" ");
      return value;
    }
  };
  if (step === "leaving") {
    remember();
    if (onward instanceof HTMLFormElement) onward.submit();
    else location.replace(onward.href);
  } else if (step === "returning") {
    history.replaceState(null, "", location.pathname);
    const kept = recall();
    if (kept) {
      onward.elements.secret.value = kept;
      onward.submit();
    }
  } else {
    onward.submit();
  }
}
