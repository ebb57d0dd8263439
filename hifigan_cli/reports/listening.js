"use strict";
(() => {
  const clips = [...document.querySelectorAll(".clip")];
  const figures = (clip) => [...clip.querySelectorAll("figure.version")];
  const player = (figure) => figure.querySelector("audio");
  let current = 0;
  let last = null; // the player that played last
  let positioned = null; // the player whose position the user set with a click

  // One click on a table head sorts by it, the next reverses the order. Empty cells stay last.
  const table = document.getElementById("values");
  const sortBy = (column) => {
    const heads = [...table.tHead.rows[0].cells];
    const descending = heads[column].getAttribute("aria-sort") === "ascending";
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
    const value = (row) => row.cells[column].dataset.value;
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = column === 0 ? x.localeCompare(y, "en", { numeric: true }) : x - y;
      return descending ? -order : order;
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  };
  if (table) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => sortBy(column));
    });
  }

  const goTo = (index, scroll) => {
    if (!clips.length) return;
    current = Math.min(Math.max(index, 0), clips.length - 1);
    clips.forEach((clip, i) => clip.classList.toggle("current", i === current));
    if (scroll) clips[current].focus({ preventScroll: true });
    if (scroll) clips[current].scrollIntoView({ block: "nearest" });
  };

  // A version of a clip continues at the position of the version that played before.
  const play = (clip, number) => {
    const figure = figures(clip)[number];
    if (!figure) return;
    const audio = player(figure);
    if (last && last !== audio && clip.contains(last) && !last.ended) {
      audio.currentTime = Math.min(last.currentTime, audio.duration || Infinity);
    }
    audio.play();
  };

  clips.forEach((clip, index) => {
    figures(clip).forEach((figure, number) => {
      const audio = player(figure);
      // The script turns the caption into a button for the mouse.
      const button = document.createElement("button");
      button.type = "button";
      button.title = "play this version from the current position";
      button.append(...figure.querySelector("figcaption").childNodes);
      figure.querySelector("figcaption").append(button);
      button.addEventListener("click", () => (audio.paused ? play(clip, number) : audio.pause()));
      const cursor = figure.querySelector(".cursor");
      const move = () => {
        cursor.style.left = `${(100 * audio.currentTime) / (audio.duration || 1)}%`;
        if (!audio.paused) requestAnimationFrame(move);
      };
      audio.addEventListener("play", () => {
        if (last && last !== audio) {
          const continues = clip.contains(last) && !last.paused && positioned !== audio;
          if (continues) audio.currentTime = Math.min(last.currentTime, audio.duration || Infinity);
          last.pause();
        }
        positioned = null;
        last = audio;
        figure.classList.add("playing", "started");
        goTo(index, false);
        move();
      });
      audio.addEventListener("pause", () => figure.classList.remove("playing"));
      audio.addEventListener("seeked", move);
      figure.querySelector(".picture").addEventListener("click", (event) => {
        const box = event.currentTarget.getBoundingClientRect();
        audio.currentTime = ((event.clientX - box.left) / box.width) * (audio.duration || 0);
        positioned = audio;
        audio.play();
      });
    });
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const onControl = event.target.closest("button, a, audio, .scroll");
    if (event.key === "j") goTo(current + (document.activeElement === document.body ? 0 : 1), true);
    else if (event.key === "k") goTo(current - 1, true);
    else if (/^[1-9]$/.test(event.key)) play(clips[current], Number(event.key) - 1);
    else if (event.key === " " && !onControl && last) last.paused ? last.play() : last.pause();
    else return;
    event.preventDefault();
  });
  goTo(0, false);
  document.documentElement.dataset.ready = "yes"; // the script ran to the end
})();
