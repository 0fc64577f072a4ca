// Writes into the title of a report what a reader would stumble over: text cut off, outside its chart, or overlapping.
const seen = [];
const wide = document.documentElement.scrollWidth - window.innerWidth;
if (wide > 1) seen.push(`page is wider than the window by ${wide}`);
if (window.innerWidth > 1000) {
  for (const box of document.querySelectorAll(".scroll")) {
    if (box.offsetParent && box.scrollWidth > box.clientWidth + 1) seen.push(`cut off: ${box.textContent.slice(0, 60)}`);
  }
}
for (const svg of document.querySelectorAll("svg")) {
  const frame = svg.getBoundingClientRect();
  const upright = [...svg.querySelectorAll("text")].filter(t => !/rotate\((?!-?0[ )])/.test(t.getAttribute("transform") || ""));
  const texts = upright.map(t => [t.textContent.trim(), t.getBoundingClientRect()]);
  texts.forEach(([one, a], i) => {
    const out = a.left < frame.left - 2 || a.right > frame.right + 2 || a.top < frame.top - 2 || a.bottom > frame.bottom + 2;
    if (out) seen.push(`outside: ${one}`);
    for (const [other, b] of texts.slice(i + 1)) {
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (across > 2 && down > 4) seen.push(`overlap: ${one} | ${other}`);
    }
  });
}
document.title = JSON.stringify(seen);
