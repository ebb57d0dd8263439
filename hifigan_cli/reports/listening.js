"use strict";
(() => {
  const clips = [...document.querySelectorAll(".clip")];
  const figures = (clip) => [...clip.querySelectorAll("figure.version")];
  const player = (figure) => figure.querySelector("audio");
  let current = 0;
  let last = null; // the player that was heard last
  let placed = null; // the player whose moment was chosen by hand

  // One click on a table head sorts by it, the next turns the order round; empty cells stay last.
  const table = document.getElementById("figures");
  const sortBy = (place) => {
    const heads = [...table.tHead.rows[0].cells];
    const descending = heads[place].getAttribute("aria-sort") === "ascending";
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[place].setAttribute("aria-sort", descending ? "descending" : "ascending");
    const value = (row) => row.cells[place].dataset.value;
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = place === 0 ? x.localeCompare(y, "en", { numeric: true }) : x - y;
      return descending ? -order : order;
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  };
  if (table) {
    [...table.tHead.rows[0].cells].forEach((head, place) => {
      head.querySelector("button").addEventListener("click", () => sortBy(place));
    });
  }

  const goTo = (place, scroll) => {
    if (!clips.length) return;
    current = Math.min(Math.max(place, 0), clips.length - 1);
    clips.forEach((clip, index) => clip.classList.toggle("current", index === current));
    if (scroll) clips[current].focus({ preventScroll: true });
    if (scroll) clips[current].scrollIntoView({ block: "nearest" });
  };

  // Versions of one clip take over from each other at the same moment of it.
  const play = (clip, place) => {
    const figure = figures(clip)[place];
    if (!figure) return;
    const audio = player(figure);
    if (last && last !== audio && clip.contains(last) && !last.ended) {
      audio.currentTime = Math.min(last.currentTime, audio.duration || Infinity);
    }
    audio.play();
  };

  clips.forEach((clip, index) => {
    figures(clip).forEach((figure, place) => {
      const audio = player(figure);
      // The caption becomes a button for the mouse; without this script it is a caption.
      const button = document.createElement("button");
      button.type = "button";
      button.title = "play this version, from where the last one stood";
      button.append(...figure.querySelector("figcaption").childNodes);
      figure.querySelector("figcaption").append(button);
      button.addEventListener("click", () => (audio.paused ? play(clip, place) : audio.pause()));
      const cursor = figure.querySelector(".cursor");
      const move = () => {
        cursor.style.left = `${(100 * audio.currentTime) / (audio.duration || 1)}%`;
        if (!audio.paused) requestAnimationFrame(move);
      };
      audio.addEventListener("play", () => {
        if (last && last !== audio) {
          const takesOver = clip.contains(last) && !last.paused && placed !== audio;
          if (takesOver) audio.currentTime = Math.min(last.currentTime, audio.duration || Infinity);
          last.pause();
        }
        placed = null;
        last = audio;
        figure.classList.add("playing", "begun");
        goTo(index, false);
        move();
      });
      audio.addEventListener("pause", () => figure.classList.remove("playing"));
      audio.addEventListener("seeked", move);
      figure.querySelector(".picture").addEventListener("click", (event) => {
        const box = event.currentTarget.getBoundingClientRect();
        audio.currentTime = ((event.clientX - box.left) / box.width) * (audio.duration || 0);
        placed = audio;
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
  document.documentElement.dataset.ready = "yes"; // the script ran to its end
})();
