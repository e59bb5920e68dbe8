// Put into a page by the test: says what was drawn and what is wrong with it.
addEventListener('load', () => {
  const problems = window.faults;
  const box = (element) => element.getBoundingClientRect();
  const inside = (inner, outer) => inner.left >= outer.left - 1 && inner.right <= outer.right + 1
    && inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;
  const apart = (a, b) => a.right <= b.left + 0.5 || b.right <= a.left + 0.5
    || a.bottom <= b.top + 0.5 || b.bottom <= a.top + 0.5;
  const figures = [...document.querySelectorAll('figure')].map((figure) => {
    const svg = figure.querySelector('svg');
    const name = figure.querySelector('figcaption').textContent;
    const where = `${figure.closest('section').querySelector('h2').textContent}, ${name}`;
    const texts = [...svg.querySelectorAll('text')];
    texts.forEach((text, index) => {
      if (!inside(box(text), box(figure))) problems.push(`${where}: "${text.textContent}" leaves the figure`);
      for (const other of texts.slice(index + 1)) {
        if (!apart(box(text), box(other))) {
          problems.push(`${where}: "${text.textContent}" lies on "${other.textContent}"`);
        }
      }
      if (parseFloat(getComputedStyle(text).fontSize) * box(svg).width / 400 < 9) {
        problems.push(`${where}: "${text.textContent}" can't be read`);
      }
    });
    const drawn = [...svg.querySelectorAll('.line, .area')];
    for (const shape of drawn) {
      if (!inside(box(shape), box(svg))) problems.push(`${where}: a line leaves the plot`);
      const style = getComputedStyle(shape);
      const colour = shape.classList.contains('line') ? style.stroke : style.fill;
      if (!/^rgb\(/.test(colour) || colour === 'rgb(0, 0, 0)') problems.push(`${where}: colour ${colour}`);
    }
    const lines = drawn.filter((shape) => shape.classList.contains('line'));
    const areas = drawn.filter((shape) => shape.classList.contains('area'));
    return {
      section: figure.closest('section').querySelector('h2').textContent,
      name,
      labels: texts.length,
      lines: lines.map((line) => line.getTotalLength()),
      dashed: lines.filter((line) => getComputedStyle(line).strokeDasharray !== 'none').length,
      areas: areas.map((area) => box(area).width * box(area).height),
      told: svg.querySelectorAll('title').length,
      legend: [...figure.querySelectorAll('.legend li')].map((entry) => entry.textContent),
    };
  });
  if (document.documentElement.scrollWidth > innerWidth) problems.push('the page is wider than the window');
  for (const entry of performance.getEntriesByType('resource')) problems.push(`it fetches ${entry.name}`);
  const cells = [...document.querySelectorAll('tbody tr')].map((row) => [...row.children].map((cell) => cell.innerText));
  const report = JSON.stringify({
    problems,
    figures,
    cells,
    targets: [...document.querySelectorAll('.targets li')].map((target) => target.className),
    isDark: matchMedia('(prefers-color-scheme: dark)').matches,
    paper: getComputedStyle(document.body).backgroundColor,
    width: innerWidth,
  });
  fetch('/', { method: 'POST', body: report });
});
