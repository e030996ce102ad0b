"""How the demo looks: theme, style sheet and the few scripts. Nothing is loaded from another server, fonts neither."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

CSS = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")

# The visitor's choice of theme outlives the page; without one the system's counts, as Gradio does by itself. Gradio sets
# the system's when it mounts, so the choice is put back whenever the class changes.
HEAD = """
<meta name="color-scheme" content="light dark">
<script>
(() => {
  const apply = () => {
    let theme = null;
    try { theme = localStorage.getItem("theme") } catch {}
    if (theme && document.body.classList.contains("dark") !== (theme === "dark")) document.body.classList.toggle("dark");
  };
  // What Gradio leaves out for those who use no mouse: names, and a handle that the arrow keys move as a drag would.
  const place = (handle) => {
    const box = handle.getBoundingClientRect(), all = handle.closest(".block").getBoundingClientRect();
    handle.setAttribute("aria-valuenow", Math.round(100 * (box.x + box.width / 2 - all.x) / all.width));
    return [box.x + box.width / 2, box.y + box.height / 2, all.width / 20];
  };
  const dress = () => {
    document.querySelector("#theme")?.setAttribute("aria-label", "Light or dark theme");
    document.querySelector("#edited button:not([aria-label])")?.setAttribute("aria-label", "Edited picture");
    for (const handle of document.querySelectorAll("#albedo .inner:not([tabindex]), #shading .inner:not([tabindex])")) {
      handle.tabIndex = 0;
      handle.setAttribute("role", "slider");
      handle.setAttribute("aria-label", "Share of the picture that is shown");
      place(handle);
      handle.addEventListener("focus", () => place(handle));
      handle.addEventListener("keydown", (event) => {
        const sign = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
        if (!sign) return;
        event.preventDefault();
        const [x, clientY, step] = place(handle), to = x + sign * step;
        for (const [type, on, clientX] of [["mousedown", handle, x], ["mousemove", window, to], ["mouseup", window, to]])
          on.dispatchEvent(new MouseEvent(type, { bubbles: true, cancelable: true, view: window, clientX, clientY }));
        requestAnimationFrame(() => place(handle));
      });
    }
  };
  const start = () => {
    apply();
    new MutationObserver(apply).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    dress();
    new MutationObserver(dress).observe(document.body, { childList: true, subtree: true });
  };
  if (document.body) start(); else document.addEventListener("DOMContentLoaded", start);
})();
</script>
"""

TOGGLE_THEME = """() => {
  const dark = !document.body.classList.contains("dark");
  try { localStorage.setItem("theme", dark ? "dark" : "light") } catch {}
  document.body.classList.toggle("dark", dark);
}"""

# Gets the value of a download button and saves the file under the name that it was written with.
SAVE_FILE = """(file) => {
  const link = document.createElement("a");
  link.href = file.url;
  link.download = file.orig_name ?? "";
  document.body.append(link);
  link.click();
  link.remove();
}"""

# Where the columns stand one above the other, the result is off the screen.
SHOW_RESULT = """() => {
  const result = document.querySelector("#albedo");
  if (innerWidth < 700 && result) result.scrollIntoView({ behavior: "smooth", block: "start" });
}"""


# From the lightest to the darkest.
_SHADES = ("c50", *(f"c{level}00" for level in range(1, 10)), "c950")
_AMBER = "#fff8ec #feecca #fcd994 #f8bf56 #f0a52b #d98a12 #a5600a #8c5310 #6d4113 #4d2e10 #2f1c0a"
_STONE = "#faf9f7 #f3f1ed #e6e3dd #d3cec6 #a29c92 #78726a #57524b #403c37 #2a2724 #1c1a18 #131210"


def theme() -> gr.themes.Base:
    """Warm neutral greys, one amber accent, the system's own fonts."""
    amber = gr.themes.Color(**dict(zip(_SHADES, _AMBER.split(), strict=True)), name="amber")
    stone = gr.themes.Color(**dict(zip(_SHADES, _STONE.split(), strict=True)), name="stone")
    return gr.themes.Base(
        primary_hue=amber,
        secondary_hue=amber,
        neutral_hue=stone,
        radius_size=gr.themes.sizes.radius_lg,
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
    ).set(
        color_accent="*primary_600",
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_border_width="1px",
        block_label_background_fill="white",
        block_label_background_fill_dark="*neutral_900",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*neutral_900",
        button_primary_background_fill_hover="*neutral_700",
        button_primary_background_fill_dark="*primary_300",
        button_primary_background_fill_hover_dark="*primary_200",
        button_primary_text_color="white",
        button_primary_text_color_dark="*neutral_950",
        button_secondary_background_fill="*neutral_100",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover="*neutral_200",
        button_secondary_background_fill_hover_dark="*neutral_700",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
    )
